# What the scripts share: where the tree is, how they speak, and how they reach the Docker engine.
# Sourced, never run. Every script calls `set -euo pipefail` itself.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The base of every image, made by scripts/base-image where no image registry can be reached.
base_image=debian:bookworm-slim
base_suite=bookworm
# What agents run in, made by `agentmesh image build`.
sandbox_image=agentmesh/sandbox:latest

# step TEXT: one line for the person who watches, on stderr so that stdout stays data.
step() { printf '%s: %s\n' "${0##*/}" "$1" >&2; }

# die STAGE WHAT CURE: the shape of every error of agentmesh.
die() {
  printf '%s: %s: %s (%s)\n' "${0##*/}" "$1" "$2" "$3" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die root "this step needs root: $1" "run as root, or install sudo"
  fi
}

# The engine's socket by the rule of the program itself: DOCKER_HOST, else the system's.
engine_socket() {
  case "${DOCKER_HOST:-}" in
    unix://*) printf '%s' "${DOCKER_HOST#unix://}" ;;
    '') printf '/var/run/docker.sock' ;;
    *) die engine "DOCKER_HOST=$DOCKER_HOST is not a Unix socket" "unset it, or set unix:///path/to/docker.sock" ;;
  esac
}

# engine METHOD PATH [curl options...]: one call; its body on stdout, also of an HTTP error, which fails.
engine() {
  local method=$1 path=$2
  shift 2
  curl --silent --show-error --fail-with-body --unix-socket "$(engine_socket)" --request "$method" "$@" "http://engine$path"
}

engine_answers() { [ "$(engine GET /_ping --max-time 5 2>/dev/null)" = OK ]; }

have_image() { engine GET "/images/$1/json" --max-time 30 >/dev/null 2>&1; }
