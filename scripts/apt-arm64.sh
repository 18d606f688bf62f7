# For other scripts: apt for arm64 with a private state under "$work", as arrays and functions. The
# host's package lists, its dpkg database and its architectures stay as they are; no root is needed.

apt_options=(
  -oAPT::Architecture=arm64 -oAPT::Architectures::=arm64 -oAPT::Architectures=arm64
  -oDir::State="$work/apt/state" -oDir::State::Lists="$work/apt/lists"
  -oDir::State::status="$work/apt/status" -oDir::Cache="$work/apt/cache"
  -oDir::Etc::SourceList="$work/apt/sources.list" -oDir::Etc::SourceParts="$work/apt/sources.d"
  -oDir::Etc::Preferences=/dev/null -oDir::Etc::PreferencesParts="$work/apt/preferences.d"
  -oAPT::Sandbox::User="$(id -un)" -oAcquire::Languages=none -oAcquire::Retries=3
  -oAcquire::http::Timeout=30
)

# The host's own apt sources, for every architecture that they carry.
prepare_apt() {
  rm -rf "$work/apt"
  mkdir -p "$work/apt"/{state,lists/partial,cache/archives/partial,sources.d,preferences.d}
  : > "$work/apt/status"
  : > "$work/apt/sources.list"
  if [ -f /etc/apt/sources.list ]; then
    sed -E 's/(arch|architectures)=[^] ]*//; s/\[ *\]//' /etc/apt/sources.list \
      > "$work/apt/sources.list"
  fi
  local file
  for file in /etc/apt/sources.list.d/*.list; do
    [ -f "$file" ] || continue
    sed -E 's/(arch|architectures)=[^] ]*//; s/\[ *\]//' "$file" \
      > "$work/apt/sources.d/$(basename "$file")"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -f "$file" ] || continue
    grep -vi '^Architectures:' "$file" > "$work/apt/sources.d/$(basename "$file")" || true
  done
}

offline() {
  local self=${0##*/}
  echo "$self: $1" >&2
  echo "$self: is the network reachable, and does /etc/apt name a Debian mirror?" \
       "Apt's log: $work/apt.log" >&2
  exit 1
}
