// cli/completion.cc: what `muster completion SHELL` prints
#include "cli/completion.h"

#include <fmt/format.h>

namespace muster::cli {
namespace {

constexpr std::string_view kBash = R"script(# bash completion of muster: source <(muster completion bash)
_muster_names() {
  muster get "$1" -o name 2>/dev/null | sed 's|.*/||'
}
_muster() {
  local word="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" verb="" kind="" i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case "${COMP_WORDS[i]}" in
      -n|--namespace|-l|--selector|-o|--output|-c|--container|--role|--kubeconfig|--context|--cluster|--user|--output-dir|--timeout|--rank|--pod|--tail|--title|--port)
        ((++i)) ;;  # its value is no word of the command
      -*) ;;
      *) if [ -z "$verb" ]; then verb="${COMP_WORDS[i]}"; elif [ -z "$kind" ]; then kind="${COMP_WORDS[i]}"; fi ;;
    esac
  done
  case "$previous" in
    -o|--output)
      case "$verb" in
        run) COMPREPLY=($(compgen -W "text json" -- "$word")); return ;;
        get) COMPREPLY=($(compgen -W "table json yaml name" -- "$word")); return ;;
        history) COMPREPLY=($(compgen -W "table wide json yaml" -- "$word")); return ;;
        version) COMPREPLY=($(compgen -W "text json" -- "$word")); return ;;
        *) COMPREPLY=($(compgen -f -- "$word")); return ;;
      esac ;;
    --role) COMPREPLY=($(compgen -W "worker server aggregator client" -- "$word")); return ;;
    --context) COMPREPLY=($(compgen -W "$(kubectl config get-contexts -o name 2>/dev/null)" -- "$word")); return ;;
    --cluster) COMPREPLY=($(compgen -W "$(kubectl config get-clusters 2>/dev/null | sed 1d)" -- "$word")); return ;;
    --user) COMPREPLY=($(compgen -W "$(kubectl config get-users 2>/dev/null | sed 1d)" -- "$word")); return ;;
    --kubeconfig|--output-dir) COMPREPLY=($(compgen -f -- "$word")); return ;;
  esac
  case "$verb" in
    "") COMPREPLY=($(compgen -W "run get logs describe status top audit suspend resume history plot convert local version completion --help --version" -- "$word")) ;;
    run) COMPREPLY=($(compgen -W "--output --output-dir --timeout --verbose --help" -- "$word")
           $(compgen -f -X '!*.y*ml' -- "$word") $(compgen -d -- "$word")) ;;
    get|describe)
      if [[ "$word" == -* ]]; then
        local options="-n --namespace --kubeconfig --context --cluster --user --help"
        [ "$verb" = describe ] || options+=" -A --all-namespaces -o --output -l --selector -w --watch"
        COMPREPLY=($(compgen -W "$options" -- "$word"))
      elif [ -z "$kind" ]; then
        COMPREPLY=($(compgen -W "dj fr pods services events nodes configmaps persistentvolumeclaims namespaces" -- "$word"))
      else
        COMPREPLY=($(compgen -W "$(_muster_names "$kind")" -- "$word"))
      fi ;;
    logs)
      if [[ "$word" == -* ]]; then
        COMPREPLY=($(compgen -W "-f --follow -c --container --rank --all-ranks --role --pod --tail --previous -n --namespace --kubeconfig --context --cluster --user --help" -- "$word"))
      else
        COMPREPLY=($(compgen -W "$(_muster_names dj) $(_muster_names fr)" -- "$word"))
      fi ;;
    status|audit|suspend|resume)
      if [[ "$word" == -* ]]; then
        COMPREPLY=($(compgen -W "-n --namespace --kubeconfig --context --cluster --user --help" -- "$word"))
      else
        COMPREPLY=($(compgen -W "$(_muster_names dj) $(_muster_names fr)" -- "$word"))
      fi ;;
    history) COMPREPLY=($(compgen -W "-A --all-namespaces -o --output -n --namespace --kubeconfig --context --cluster --user --help" -- "$word")) ;;
    top) COMPREPLY=($(compgen -W "-A --all-namespaces -n --namespace --kubeconfig --context --cluster --user --help" -- "$word")) ;;
    plot) COMPREPLY=($(compgen -f -- "$word")) ;;
    convert) COMPREPLY=($(compgen -f -X '!*.@(y*ml|json)' -- "$word") $(compgen -d -- "$word")) ;;
    local) COMPREPLY=($(compgen -W "up --port --output-dir --feature-gates --help" -- "$word")) ;;
    completion) COMPREPLY=($(compgen -W "bash zsh fish" -- "$word")) ;;
  esac
}
complete -F _muster muster
)script";

constexpr std::string_view kZsh = R"script(#compdef muster
# zsh completion of muster: source <(muster completion zsh)
_muster_names() {
  local -a names
  names=(${(f)"$(muster get $1 -o name 2>/dev/null | sed 's|.*/||')"})
  compadd -a names
}
_muster() {
  local -a verbs kinds
  verbs=(run get logs describe status top audit suspend resume history plot convert local version completion)
  kinds=(dj fr pods services events nodes configmaps persistentvolumeclaims namespaces)
  if (( CURRENT == 2 )); then compadd -a verbs; return; fi
  case "${words[CURRENT-1]}" in
    --context) compadd -- ${(f)"$(kubectl config get-contexts -o name 2>/dev/null)"}; return ;;
    --cluster) compadd -- ${(f)"$(kubectl config get-clusters 2>/dev/null | sed 1d)"}; return ;;
    --user) compadd -- ${(f)"$(kubectl config get-users 2>/dev/null | sed 1d)"}; return ;;
  esac
  case "${words[2]}" in
    run)
      case "${words[CURRENT]}" in
        -*) compadd -- --output --output-dir --timeout --verbose --help ;;
        *) _files -g '*.(yaml|yml)' ;;
      esac ;;
    get|describe)
      case "${words[CURRENT]}" in
        -*) compadd -- -n --namespace --kubeconfig --context --cluster --user --help
            [ "${words[2]}" = describe ] || compadd -- -A --all-namespaces -o --output -l --selector -w --watch ;;
        *) if (( CURRENT == 3 )); then compadd -a kinds; else _muster_names "${words[3]}"; fi ;;
      esac ;;
    logs)
      case "${words[CURRENT]}" in
        -*) compadd -- -f --follow -c --container --rank --all-ranks --role --pod --tail --previous -n --namespace --kubeconfig --context --cluster --user --help ;;
        *) _muster_names dj; _muster_names fr ;;
      esac ;;
    status|audit|suspend|resume)
      case "${words[CURRENT]}" in
        -*) compadd -- -n --namespace --kubeconfig --context --cluster --user --help ;;
        *) _muster_names dj; _muster_names fr ;;
      esac ;;
    history) compadd -- -A --all-namespaces -o --output -n --namespace --kubeconfig --context --cluster --user --help ;;
    top) compadd -- -A --all-namespaces -n --namespace --kubeconfig --context --cluster --user --help ;;
    local) compadd -- up --port --output-dir --feature-gates --help ;;
    completion) compadd bash zsh fish ;;
    *) _files ;;
  esac
}
if [ "${funcstack[1]}" = "_muster" ]; then _muster "$@"; else compdef _muster muster; fi
)script";

constexpr std::string_view kFish = R"script(# fish completion of muster: muster completion fish | source
function __muster_names
    muster get $argv[1] -o name 2>/dev/null | string replace -r '.*/' ''
end
set -l verbs run get logs describe status top audit suspend resume history plot convert local version completion
complete -c muster -n "not __fish_seen_subcommand_from $verbs" -f -a "$verbs"
complete -c muster -n "__fish_seen_subcommand_from run" -F -l output-dir -r
complete -c muster -n "__fish_seen_subcommand_from run" -l output -x -a "text json"
complete -c muster -n "__fish_seen_subcommand_from run" -l timeout -x
complete -c muster -n "__fish_seen_subcommand_from run" -l verbose
complete -c muster -n "__fish_seen_subcommand_from get describe" -f -a "dj fr pods services events nodes"
complete -c muster -n "__fish_seen_subcommand_from get" -s o -l output -x -a "table json yaml name"
complete -c muster -n "__fish_seen_subcommand_from get" -s w -l watch
complete -c muster -n "__fish_seen_subcommand_from get" -s A -l all-namespaces
complete -c muster -n "__fish_seen_subcommand_from logs" -f -a "(__muster_names dj) (__muster_names fr)"
complete -c muster -n "__fish_seen_subcommand_from logs" -s f -l follow
complete -c muster -n "__fish_seen_subcommand_from logs" -l rank -x
complete -c muster -n "__fish_seen_subcommand_from logs" -l all-ranks
complete -c muster -n "__fish_seen_subcommand_from logs" -l previous
complete -c muster -n "__fish_seen_subcommand_from logs" -l role -x -a "worker server aggregator client"
complete -c muster -n "__fish_seen_subcommand_from logs" -l pod -x
complete -c muster -n "__fish_seen_subcommand_from logs" -s c -l container -x
complete -c muster -n "__fish_seen_subcommand_from status audit suspend resume" -f -a "(__muster_names dj) (__muster_names fr)"
complete -c muster -n "__fish_seen_subcommand_from status top history" -s A -l all-namespaces
set -l asking get logs describe status top suspend resume history plot version
complete -c muster -n "__fish_seen_subcommand_from $asking" -l kubeconfig -r -F
complete -c muster -n "__fish_seen_subcommand_from $asking" -l context -x -a "(kubectl config get-contexts -o name 2>/dev/null)"
complete -c muster -n "__fish_seen_subcommand_from $asking" -l cluster -x -a "(kubectl config get-clusters 2>/dev/null | sed 1d)"
complete -c muster -n "__fish_seen_subcommand_from $asking" -l user -x -a "(kubectl config get-users 2>/dev/null | sed 1d)"
complete -c muster -n "__fish_seen_subcommand_from convert" -F
complete -c muster -n "__fish_seen_subcommand_from history" -s o -l output -x -a "table wide json yaml"
complete -c muster -n "__fish_seen_subcommand_from local" -f -a "up"
complete -c muster -n "__fish_seen_subcommand_from completion" -f -a "bash zsh fish"
)script";

}  // namespace

Result<std::string> completion_script(std::string_view shell) {
  if (shell == "bash") return std::string(kBash);
  if (shell == "zsh") return std::string(kZsh);
  if (shell == "fish") return std::string(kFish);
  return invalid_argument(fmt::format("no completion for '{}'; there is one for bash, zsh and fish", shell));
}

}  // namespace muster::cli
