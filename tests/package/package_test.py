#!/usr/bin/env python3
"""What `cmake --install` and CPack lay out, used as a stranger would.

package_test.py install|deb|words BUILD CMAKE CPACK CC CXX VERSION

install  into an empty prefix; C and C++ programs by pkg-config; the exported symbols
deb      all packages made and unpacked; what each holds and depends on; the program runs
words    the man page and the completion know every option and value that --help knows, and no other
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

PART, BUILD, CMAKE, CPACK, CC, CXX, VERSION = sys.argv[1:8]
HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGING = os.path.join(HERE, "..", "..", "packaging")


def run(*command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def require(condition, message):
    if not condition:
        sys.exit(message)


def need(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            print(f"skipped: {tool} is not installed")
            sys.exit(77)


def check_program(program):
    version = run(program, "--version")
    require(re.fullmatch(rf"trapline {re.escape(VERSION)}( \(git [0-9a-f]+(-dirty)?\))?\n", version),
            f"--version says {version!r}")
    line = run(program, "decode", "a8c10440")
    require(line.startswith("a8c10440 PAIR op=load"), f"decode says {line!r}")


# pkg-config name, headers, the stranger's program and what it prints.
LIBRARIES = (
    ("trapline-decode", ("trapline-decode.h",), "use_decode.c",
     "add: not a memory instruction, class not-memory\n"),
    ("trapline", ("trapline.h", "trapline-hosted.h", "trapline-decode.h"), "use_trapline.c",
     "read of 4 at 0x9000000\ndone: x0 7, x2 0x9000004\n"),
)


def use_library(library, prefix, libdir, scratch):
    """Compiles and runs the program by the .pc file below `libdir` alone."""
    name, headers, source, expected = library
    environment = dict(os.environ, PKG_CONFIG_LIBDIR=os.path.join(libdir, "pkgconfig"))
    environment.pop("PKG_CONFIG_PATH", None)
    flags = run("pkg-config", "--cflags", "--libs", name, env=environment).split()
    require(run("pkg-config", "--modversion", name, env=environment) == VERSION + "\n",
            "pkg-config knows another version")
    for language, compiler, standard in (("c", CC, "c11"), ("c++", CXX, "c++11")):
        program = os.path.join(scratch, f"use-{name}-{language}")
        run(compiler, f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-pedantic", "-x", language,
            os.path.join(HERE, source), "-x", "none", "-o", program, *flags)
        output = run(program, env=dict(os.environ, LD_LIBRARY_PATH=libdir))
        require(output == expected, f"{language}: {output!r}")
        needed = run("readelf", "-d", program)
        require(f"[lib{name}.so.0]" in needed, f"{language}: not linked by the SONAME:\n{needed}")
    names = run("nm", "-D", "--defined-only", os.path.join(libdir, f"lib{name}.so"))
    symbols = {line.split()[-1].split("@")[0] for line in names.splitlines() if " A " not in line}
    declared = set()
    for header in headers:
        with open(os.path.join(prefix, "include", header), encoding="utf-8") as file:
            declared |= set(re.findall(r"^TL_API .*?(tl_\w+)\(", file.read(), re.M))
    require(len(declared) > 2 and declared == symbols, f"{name} exports {symbols}, declares {declared}")


def libdir_of(library, prefix):
    for folder, _, files in os.walk(prefix):
        if f"lib{library[0]}.so" in files:
            return folder
    sys.exit(f"no lib{library[0]}.so")


def test_install(scratch):
    need("pkg-config")
    first = os.path.join(scratch, "first")
    run(CMAKE, "--install", BUILD, "--prefix", first)
    prefix = os.path.join(scratch, "moved")
    os.rename(first, prefix)
    for name in ("bin/trapline", "share/man/man1/trapline.1", "include/trapline-decode.h", "include/trapline.h",
                 "share/bash-completion/completions/trapline", "share/zsh/site-functions/_trapline"):
        require(os.path.isfile(os.path.join(prefix, name)), f"{name} is not installed")
    check_program(os.path.join(prefix, "bin", "trapline"))
    for library in LIBRARIES:
        use_library(library, prefix, libdir_of(library, prefix), scratch)


def test_deb(scratch):
    need("dpkg-deb", "dpkg-shlibdeps", "pkg-config")
    run(CPACK, "--config", os.path.join(BUILD, "CPackConfig.cmake"), cwd=scratch)
    debs = {name.split("_")[0]: os.path.join(scratch, name)
            for name in os.listdir(scratch) if name.endswith(".deb")}
    require(set(debs) == {"trapline", "trapline-nisv", "libtrapline-decode-dev", "libtrapline-dev"}, f"made: {sorted(debs)}")
    for name, deb in debs.items():
        require(run("dpkg-deb", "-f", deb, "Version") == VERSION + "\n", f"{name}: another version")
        run("dpkg-deb", "-x", deb, os.path.join(scratch, name))
        require(os.path.isfile(os.path.join(scratch, name, "usr/share/doc", name, "copyright")),
                f"{name}: no copyright")
    depends = run("dpkg-deb", "-f", debs["trapline"], "Depends")
    require("libc6 " in depends and "libstdc++6 " in depends, f"trapline depends on {depends!r}")
    check_program(os.path.join(scratch, "trapline", "usr", "bin", "trapline"))
    require("libtrapline-decode-dev" in run("dpkg-deb", "-f", debs["libtrapline-dev"], "Depends"),
            "libtrapline-dev does not bring the decoder's header")
    both = os.path.join(scratch, "both")
    for name in ("libtrapline-decode-dev", "libtrapline-dev"):
        run("dpkg-deb", "-x", debs[name], both)
    for library in LIBRARIES:
        use_library(library, os.path.join(both, "usr"), libdir_of(library, both), scratch)


def complete(*words):
    script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _trapline; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    path = os.path.join(PACKAGING, "trapline.bash")
    return set(run("bash", "-c", script, "bash", path, "trapline", *words).split())


def options_of(command):
    """Options and the values of those that list them, as the command's help has them."""
    text = run(os.path.join(BUILD, "trapline"), command, "--help")
    options = set(re.findall(r"^ +(?:-[a-z],)?(--[a-z0-9-]+)", text, re.M))
    values = {option: set(names.split(",")) for option, names in
              re.findall(r"^ +(?:-[a-z],)?(--[a-z0-9-]+)[^\n{]*\{([a-z0-9,-]+)\}", text, re.M)}
    return options, values


def test_words(_):
    commands = {command: options_of(command) for command in ("run", "replay", "report")}
    require(len(commands["run"][0]) > 20 and len(commands["run"][1]) > 6 and len(commands["report"][0]) > 8,
            f"help is not understood: {commands}")
    top = set(re.findall(r"^ +(?:-h,)?(--[a-z0-9-]+)", run(os.path.join(BUILD, "trapline"), "--help"), re.M))
    options = set().union(*(names for names, _ in commands.values()),
                          *(options_of(command)[0] for command in ("stat", "top", "ctl", "record")))
    values = {option: names for _, of in commands.values() for option, names in of.items()}

    for command, (names, of) in commands.items():
        require(complete(command, "--") == names, f"completion: {complete(command, '--') ^ names}")
        for option, choices in of.items():
            require(complete(command, option, "") == choices, f"completion: {option}")
    require(complete("") == top | {"run", "decode", "replay", "report", "list", "stat", "top", "ctl", "record", "wrap"}, f"completion of the first word: {complete('')}")
    require(complete("run", "--clock", "i") == {"icount"}, "completion of a value's beginning")

    with open(os.path.join(PACKAGING, "_trapline"), encoding="utf-8") as file:
        zsh = file.read()
    known = set(re.findall(r"(--[a-z0-9-]+)[\[=]", zsh))
    for part in zsh.split("_arguments")[1:]:
        listed = re.findall(r"^ +'\*?(--[a-z0-9-]+)", part, re.M)
        require(len(listed) == len(set(listed)), f"zsh completion: twice in {sorted(listed)}")
    require(known == options | top, f"zsh completion: {known ^ (options | top)}")
    for option, names in values.items():
        listed = re.search(re.escape(option) + r"=?\[[^]]*\]:[^:]*:\(([a-z0-9 -]+)\)", zsh)
        require(listed and set(listed.group(1).split()) == names, f"zsh completion: {option}")

    with open(os.path.join(PACKAGING, "trapline.1"), encoding="utf-8") as file:
        page = file.read().replace("\\-", "-")
    headings = set(re.findall(r'^\.(?:B|BI|BR|TP) .*?(--[a-z0-9-]+)', page, re.M))
    run_page = page[page.find(".SH OPTIONS OF RUN"):page.find(".SH OPTIONS OF REPLAY")]
    for option in commands["run"][0]:
        times = len(re.findall(rf'^\.TP\n\.(?:B|BI|BR) {option}(?![a-z0-9-])', run_page, re.M))
        require(times <= 1, f"man page: {option} of run {times} times")
    require(headings >= options | top, f"not in the man page: {(options | top) - headings}")
    mentioned = set(re.findall(r"--[a-z][a-z0-9-]+", page))
    require(mentioned == options | top, f"only in the man page: {mentioned - options - top}")
    for option, names in values.items():
        listed = re.search(re.escape(option) + r' " \{([a-z0-9|-]+)\}"', page)
        require(listed and set(listed.group(1).split("|")) == names, f"man page: values of {option}")
    for status in (0, 1, 2, 124, 129, 130, 143):
        require(re.search(rf"^\.BR? .*\b{status}\b", page, re.M), f"man page: exit status {status}")


with tempfile.TemporaryDirectory() as scratch:
    {"install": test_install, "deb": test_deb, "words": test_words}[PART](scratch)
print("ok")
