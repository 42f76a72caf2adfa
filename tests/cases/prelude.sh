# Sourced before each case's cmd, in bash -u: the few words in which cases are written.

# The default network, egress, is refused until the gateway is there: cases about something else choose another.
export AGENTMESH_NETWORK=none

# expect CODE COMMAND...: runs it; another exit code ends the case.
expect() {
  local wanted=$1 got=0
  shift
  "$@" || got=$?
  if [ $got -ne "$wanted" ]; then
    printf 'expect: exit %s, not %s: %s\n' "$got" "$wanted" "$*" >&2
    exit 99
  fi
}

# says PATTERN COMMAND...: its stderr is one line that matches the extended pattern; its exit code is kept.
says() {
  local pattern=$1 status=0 text
  shift
  text=$({ "$@" >/dev/null; } 2>&1) || status=$?
  if [[ $text == *$'\n'* ]] || ! grep -qE -- "$pattern" <<<"$text"; then
    printf 'says: not one line of the form %s:\n%s\nfrom: %s\n' "$pattern" "$text" "$*" >&2
    exit 98
  fi
  return $status
}

# refused CODE PATTERN COMMAND...: exit CODE and an error line `agentmesh: STAGE: ...` that matches the pattern.
refused() {
  local code=$1 pattern=$2
  shift 2
  expect "$code" says "^agentmesh: [a-z-]+: .*$pattern" "$@"
}

# eventually SECONDS COMMAND...: until it succeeds; past the limit the case ends.
eventually() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $deadline ]; then
      printf 'eventually: not in time: %s\n' "$*" >&2
      exit 97
    fi
    sleep 0.1
  done
}

config() { mkdir -p "$AGENTMESH_HOME" && chmod 700 "$AGENTMESH_HOME" && cat >"$AGENTMESH_HOME/config.toml"; }

# shellcheck disable=SC1090
source "$1"
