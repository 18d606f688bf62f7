# `cmake --install BUILD [--prefix P] [--component trapline|nisv|decode|embed]`, and CPack's .debs, one each.
# libtrapline (`embed`) needs the header of `decode`.
include(GNUInstallDirs)

install(TARGETS trapline RUNTIME COMPONENT trapline)
install(FILES packaging/trapline.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT trapline)
install(FILES packaging/trapline.bash RENAME trapline COMPONENT trapline
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES packaging/_trapline DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions
        COMPONENT trapline)
install(FILES LICENSE RENAME copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/trapline
        COMPONENT trapline)

# The drop-in; of it only programs that are dynamically linked make use.
if(TARGET trapline_nisv_preload)
  install(TARGETS trapline_nisv_preload LIBRARY COMPONENT nisv NAMELINK_SKIP)
  install(FILES docs/drop-in.md DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/trapline-nisv COMPONENT nisv)
  install(FILES LICENSE RENAME copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/trapline-nisv
          COMPONENT nisv)
endif()

# From the .pc file's folder to the prefix, so that the tree may be installed or moved anywhere.
file(RELATIVE_PATH TRAPLINE_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" TRAPLINE_PC_PREFIX ${TRAPLINE_PC_PREFIX})
configure_file(packaging/trapline-decode.pc.in ${CMAKE_BINARY_DIR}/trapline-decode.pc @ONLY)
install(TARGETS trapline_decode_shared LIBRARY COMPONENT decode NAMELINK_COMPONENT decode)
install(FILES decode/trapline-decode.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT decode)
install(FILES ${CMAKE_BINARY_DIR}/trapline-decode.pc COMPONENT decode
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES LICENSE RENAME copyright COMPONENT decode
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libtrapline-decode-dev)

configure_file(packaging/trapline.pc.in ${CMAKE_BINARY_DIR}/trapline.pc @ONLY)
install(TARGETS trapline_shared LIBRARY COMPONENT embed NAMELINK_COMPONENT embed)
install(TARGETS trapline_static ARCHIVE COMPONENT embed)
install(FILES vmm/embed/trapline.h vmm/embed/trapline-hosted.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT embed)
install(FILES ${CMAKE_BINARY_DIR}/trapline.pc COMPONENT embed
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES LICENSE RENAME copyright COMPONENT embed
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libtrapline-dev)

# `cpack --config BUILD/CPackConfig.cmake` in an empty folder.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME trapline)
set(CPACK_PACKAGE_CONTACT "The Trapline authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL trapline nisv decode embed)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL aarch64)
  set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE arm64)
endif()
set(CPACK_DEBIAN_TRAPLINE_PACKAGE_NAME trapline)
set(CPACK_DEBIAN_TRAPLINE_PACKAGE_SECTION otherosfs)
# Loaded at run time (cmake/loaded.cmake): shlibdeps cannot see them.
set(CPACK_DEBIAN_TRAPLINE_PACKAGE_DEPENDS libslirp0)
set(CPACK_DEBIAN_TRAPLINE_PACKAGE_RECOMMENDS "libcapstone4, libnbd0, libvncserver1, passt, qemu-utils")
set(CPACK_DEBIAN_TRAPLINE_PACKAGE_SUGGESTS "qemu-utils")
set(CPACK_DEBIAN_NISV_PACKAGE_NAME trapline-nisv)
set(CPACK_DEBIAN_NISV_PACKAGE_SECTION otherosfs)
set(CPACK_DEBIAN_NISV_DESCRIPTION "ISV=0 accesses of a guest answered for an unmodified KVM VMM")
set(CPACK_DEBIAN_DECODE_PACKAGE_NAME libtrapline-decode-dev)
set(CPACK_DEBIAN_DECODE_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DECODE_DESCRIPTION "What one A64 instruction word does to memory, from C")
set(CPACK_DEBIAN_EMBED_PACKAGE_NAME libtrapline-dev)
set(CPACK_DEBIAN_EMBED_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_EMBED_PACKAGE_DEPENDS "libtrapline-decode-dev (= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_EMBED_DESCRIPTION "What an arm64 guest's load or store does, done, for hypervisors in C")
include(CPack)
