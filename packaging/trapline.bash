# bash completion for trapline(1)
_trapline() {
  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words=''
  COMPREPLY=()
  if [ "$COMP_CWORD" = 1 ]; then
    words='run decode replay report list stat top ctl record wrap --help --version'
  elif [ "${COMP_WORDS[1]}" = run ]; then
    case $previous in
      --kernel | --raw | --initrd | --firmware | --vars | --disk | --stats | --dump-dtb | --metrics | \
        --module | --record | --symbols | --restore | --config)
        compopt -o filenames 2> /dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
      --backend) words='auto soft kvm' ;;
      --audio) words='none wav: pipewire alsa alsa:' ;;
      --display) words='none vnc:' ;;
      --clock) words='host icount' ;;
      --cpu) words='base max' ;;
      --highmem|--ioeventfd|--sandbox) words='on off' ;;
      --serial) words='stdio none unix: tcp: file:' ;;
      --incoming) words='unix: exec:' ;;
      --decoder) words='native capstone' ;;
      --el2) words='novhe lrs=1 lrs=4 lrs=8 lrs=16' ;;
      --flash) words='mapped trapped' ;;
      --icache) words='off rewalk recheck protect' ;;
      --isv) words='auto never' ;;
      --net) words='user user,restrict user,host-access passt passt,restrict passt,host-access tap,ifname=' ;;
      --nested-ledger) words='off nv nv2 both' ;;
      --balloon | --input | --rng | --virtio-console) words='bus=mmio bus=pci' ;;
      --virtio) words='modern legacy' ;;
      --append | --cpus | --gdb | --kaslr-offset | --max-insns | --memory | --name | --profile-stacks | --stats-every | \
        --translate-after) return ;;
      *)
        words='--accept-changed-disks --append --audio --backend --balloon --clock --config --cpu --cpus --decoder --disk
               --display --dump-dtb --el2
               --firmware --flash --gdb --help --highmem --icache --icache-check --incoming --initrd --input --ioeventfd --isv --kaslr-offset --kaslr-seed --kernel
               --max-insns --memory --metrics --module --name --nested-ledger --net --no-reboot --profile --profile-stacks
               --raw --record --restore --rng --sandbox --serial --stats
               --stats-every --symbols --translate-after --vars --virtio --virtio-console'
        ;;
    esac
  elif [ "${COMP_WORDS[1]}" = replay ]; then
    case $previous in
      --decoder) words='native capstone' ;;
      --icache) words='off rewalk recheck protect' ;;
      --repeat) return ;;
      *)
        words='--decoder --help --icache --repeat --stats'
        if [[ $word != -* ]]; then
          compopt -o filenames 2> /dev/null
          mapfile -t COMPREPLY < <(compgen -f -- "$word")
          return
        fi
        ;;
    esac
  elif [ "${COMP_WORDS[1]}" = report ]; then
    case $previous in
      --format) words='text html csv nested-csv folded pprof perfetto json' ;;
      --filter | --from | --kaslr-offset | --min-ns | --to | --vcpu) return ;;
      *)
        words='--dtb --filter --format --from --help --image --kaslr-offset --map --min-ns --output --symbols --to
               --vcpu'
        if [[ $word != -* ]]; then
          compopt -o filenames 2> /dev/null
          mapfile -t COMPREPLY < <(compgen -f -- "$word")
          return
        fi
        ;;
    esac
  elif [[ ${COMP_WORDS[1]} == record ]]; then
    words='--kvm --pid -o'
  elif [ "${COMP_WORDS[1]}" = wrap ]; then
    case $COMP_CWORD in
      2) words='--' ;;
      3)
        mapfile -t COMPREPLY < <(compgen -c -- "$word")
        return
        ;;
      *)
        compopt -o filenames 2> /dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    esac
  elif [[ ${COMP_WORDS[1]} == @(stat|top|ctl) ]]; then
    if [ "$COMP_CWORD" = 2 ]; then
      words=$(trapline list 2> /dev/null | awk 'NR > 1 { print $1 }')
    else
      case ${COMP_WORDS[1]} in
        stat) words='--interval --json' ;;
        top) words='--interval --kvm --once' ;;
        ctl)
          case $previous in
            profile) words='start stop reset report' ;;
            report | save | --since)
              compopt -o filenames 2> /dev/null
              mapfile -t COMPREPLY < <(compgen -f -- "$word")
              return
              ;;
            migrate) words='unix: exec:' ;;
            --downtime) return ;;
            *)
              words='status stats events profile pause resume reset power-off stop save migrate cancel console
                     --compress --downtime --since'
              ;;
          esac
          ;;
      esac
    fi
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _trapline trapline
