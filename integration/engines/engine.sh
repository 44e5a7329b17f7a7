#!/bin/bash
# Real Docker Engines of several versions side by side on one Debian host, which
# is not upgraded and whose own Docker is not touched.
#
#   engine.sh setup VERSION                   unpack the engine, unless it is there
#   engine.sh start VERSION [NAME] [flags]    run it as NAME (default: VERSION), wait for its
#                                             API, print its socket; flags are dockerd's
#   engine.sh stop NAME                       SIGTERM: the engine stops its containers
#   engine.sh kill NAME                       SIGKILL: a power cut
#   engine.sh reload NAME                     SIGHUP: the engine reads its configuration again
#   engine.sh rm NAME                         kill, and forget its data
#   engine.sh docker-path [VERSION]           print the path of a docker command of VERSION
#   engine.sh registry-path                   print the path of an image registry, docker-registry
#   engine.sh plug SWITCH NAME ADDRESS        before NAME runs: give it an eth0 that leads to all that
#                                             are plugged into SWITCH, and nowhere else
#   engine.sh cut NAME                        pull that cable
#   engine.sh heal NAME                       put it back
#   engine.sh run VERSION NAME [flags]        start, in the foreground, not waiting for the API
#   engine.sh reap                            wait for the end of standard input, then rm all
#
# VERSION is 20.10 (Debian bookworm), 26.1 (trixie) or 28.5 (forky). forky moves: one day 28.5
# will be a newer engine. The data of a stopped NAME is kept: start brings it back.
#
# SWARM_ENGINES_DIR   where engines are unpacked, and kept (~/.cache/swarm-engines)
# SWARM_ENGINES_RUN   what runs: a folder per NAME (/var/lib/swarm-engines). A socket's path may have
#                     107 bytes, so keep it short.
#
# An engine has pid, mount, uts and net namespaces of its own. So killing one process kills
# containerd, the shims and the containers too, mounts vanish by themselves, no port, bridge or
# iptables rule appears on the host, and no traffic leaves. A port published with mode=host is
# reached with: nsenter -t $(cat $SWARM_ENGINES_RUN/NAME/pid) -n curl 127.0.0.1:PORT
set -euo pipefail

BASE=${SWARM_ENGINES_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/swarm-engines}
RUN=${SWARM_ENGINES_RUN:-/var/lib/swarm-engines}
LAYOUT=1 # of an unpacked engine; another number makes setup unpack again

fail() { echo "engine.sh: $*" >&2; exit 1; }

# --- unpacking -----------------------------------------------------------------------------

setup() { # VERSION: about 100 MB of download, 230 MB of disk, 10 s
  local suite packages="docker.io docker-cli" program=docker
  case $1 in
    20.10) suite=bookworm packages=docker.io ;;
    26.1) suite=trixie ;;
    28.5) suite=forky ;;
    registry) suite=bookworm packages=docker-registry program=docker-registry ;;
    *) fail "unknown engine version $1: there are 20.10, 26.1 and 28.5" ;;
  esac
  local home=$BASE/$1
  mkdir -p "$home"
  exec 9>"$home/lock"
  flock 9 # another setup of the same version ends first
  if [ "$(cat "$home/ok" 2>/dev/null)" != $LAYOUT ]; then
    [ "$(id -u)" = 0 ] || fail "unpacking an engine needs root"
    rm -rf "$home"/{ok,apt,root,cli}
    fetch "$home/apt" $suite "$packages" >&2
    unpack "$home/apt" "$home/root" $suite
    command_of "$home" $program
    rm -rf "$home/apt"
    echo $LAYOUT >"$home/ok"
  fi
  exec 9>&-
}

# A private apt with an empty status file, so that it resolves the whole closure, libc included.
fetch() { # FOLDER SUITE PACKAGES
  local mirror
  mirror=$(mirror)
  mkdir -p "$1"/{lists,archives}/partial
  : >"$1/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $2 main" >"$1/sources.list"
  local options=(-qq -y
    -o Dir::Etc::SourceList="$1/sources.list" -o Dir::Etc::SourceParts=/nonexistent
    -o Dir::State="$1" -o Dir::State::Lists="$1/lists" -o Dir::State::status="$1/status" -o Dir::Cache="$1"
    -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
    -o Acquire::Retries=3 -o pkgCacheGen::Essential=none -o APT::Install-Recommends=false
    -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update
  apt-get "${options[@]}" --download-only install $3
}

# The Debian mirror that the host's own apt uses.
mirror() {
  local uri
  uri=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null |
    awk '$1 == "URIs:" || $1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /\/debian\/?$/) { print $i; exit } }')
  [ -n "$uri" ] || fail "apt's sources name no Debian mirror"
  echo "$uri"
}

unpack() { # APT ROOT SUITE
  local root=$2 name
  mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{proc,sys,dev,run,tmp,var/lib/docker,etc/docker}
  for name in bin sbin lib lib64; do ln -s "usr/$name" "$root/$name"; done
  ln -s /run "$root/var/run"
  for name in "$1"/archives/*.deb; do # tar: dpkg-deb -x would replace the /lib symlinks
    dpkg-deb --fsys-tarfile "$name" | tar -x -C "$root" --keep-directory-symlink \
      --exclude='./usr/share/*' --exclude='./usr/lib/systemd/*' --exclude='*/gconv/*'
  done
  (cd "$root/usr" && rm -rf lib/*/perl* lib/containerd lib/cni \
    bin/{ctr,dnet,perl*,containerd-stress,containerd-shim,containerd-shim-runc-v1} \
    sbin/{ovrouter,recvtty,remap-rootfs,pidfd-kill,sd-helper,seccompagent,fs-idmap})
  for name in iptables ip6tables iptables-save ip6tables-save iptables-restore ip6tables-restore; do
    ln -sf xtables-nft-multi "$root/usr/sbin/$name" # normally made by a postinst
  done
  printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
  printf 'root:x:0:\ndocker:x:999:\n' >"$root/etc/group"
  printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
  : >"$root/etc/resolv.conf"
  printf 'PRETTY_NAME="Debian %s"\n' "$3" >"$root/usr/lib/os-release"
  ldconfig -r "$root"
}

# The command is linked against its suite's libc, which may be newer than the host's.
command_of() { # HOME PROGRAM
  local loader
  loader=$(find "$1/root/usr/lib" -name 'ld-linux-*.so.*' | head -n 1)
  mkdir -p "$1/cli"
  cat >"$1/cli/$2" <<END
#!/bin/sh
exec "$loader" --library-path "$(dirname "$(find "$1/root/usr/lib" -name libc.so.6 | head -n 1)")" "$1/root/usr/bin/$2" "\$@"
END
  chmod +x "$1/cli/$2"
}

# --- running -------------------------------------------------------------------------------

# Becomes the engine. The process that runs this is the one to kill: its pid is in NAME/pid.
run() { # VERSION NAME [flags]
  local root=$BASE/$1/root name=$2 home=$RUN/$2
  shift 2
  [ "$(id -u)" = 0 ] || fail "running an engine needs root"
  ! alive "$name" || fail "$name runs already"
  mkdir -p "$home"/{data,run}
  rm -rf "$home"/run/*
  echo $$ >"$home/pid"
  local net=(unshare --net)
  [ ! -e "$home/net" ] || net=(nsenter --net="/proc/$(cat "$home/net")/ns/net")
  exec "${net[@]}" unshare --mount --uts --pid --fork --kill-child sh -ec '
    root=$1 home=$2 name=$3 cgroup=$4
    shift 4
    hostname "$name"
    ip link set lo up
    if [ ! -e "$home/net" ]; then
      ip link add eth0 type bridge
      ip addr add 10.99.0.1/24 dev eth0
      ip link set eth0 up
    fi
    mount --bind "$root" "$root" # only a mount point can become the root
    mount -t proc proc "$root/proc"
    mount -t sysfs sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
    mount -t tmpfs tmp "$root/tmp"
    mount -t tmpfs tmp "$root/etc/docker"
    mount --bind "$home/run" "$root/run"
    mount --bind "$home/data" "$root/var/lib/docker"
    # Not chroot: what runc starts in a running container, a health check for
    # instance, would find the files of this machine and not of the container.
    mkdir -p "$root/old"
    cd "$root"
    pivot_root . old
    /old/usr/sbin/chroot /old /bin/umount -l /
    exec /usr/bin/docker-init -- \
      dockerd --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent="/$cgroup" "$@"' \
    sh "$root" "$home" "$name" "$(cgroup "$name")" "$@"
}

start() { # VERSION [NAME] [flags]
  local name=${2:-$1} socket=$RUN/${2:-$1}/run/docker.sock
  ! alive "$name" || fail "$name runs already"
  setup "$1"
  mkdir -p "$RUN/$name"
  setsid bash "$0" run "$1" "$name" "${@:3}" >"$RUN/$name/log" 2>&1 </dev/null &
  local pid=$!
  for _ in $(seq 300); do
    ! curl -sf --unix-socket "$socket" http://engine/_ping >/dev/null 2>&1 || { echo "$socket"; return; }
    kill -0 $pid 2>/dev/null || break
    sleep 0.1
  done
  tail -n 5 "$RUN/$name/log" >&2
  (stop "$name" KILL) || true # one that runs and does not answer, nobody else would stop
  fail "the $1 engine did not start"
}

stop() { # NAME SIGNAL
  if alive "$1"; then
    local pid target
    pid=$(cat "$RUN/$1/pid")
    target=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null) || true
    [ "$2" = TERM ] || target=$pid # --kill-child: all die with it
    kill "-$2" $target 2>/dev/null || true
    for _ in $(seq 600); do alive "$1" || break; sleep 0.05; done
    ! alive "$1" || fail "$1 does not stop"
  fi
  rm -f "$RUN/$1/pid"
  for _ in $(seq 40); do # the kernel takes a moment to empty them
    [ -n "$(cgroups "$1")" ] || break
    cgroups "$1" | xargs -r rmdir 2>/dev/null || sleep 0.05
  done
}

reload() { # NAME
  alive "$1" || fail "$1 does not run"
  local pid
  pid=$(cat "$RUN/$1/pid")
  kill -HUP $(cat "/proc/$pid/task/$pid/children")
}

remove() { # NAME
  stop "$1" KILL
  unplug "$1"
  rm -rf "${RUN:?}/$1"
}

# --- networks of several engines -----------------------------------------------------------

# A network namespace is held by a process, whatever becomes of the engine inside: a name that
# `ip netns` would give it is a mount, which this machine need not have.
hold() { # NAME: its pid is in NAME/net
  mkdir -p "$RUN/$1"
  unshare --net bash -c 'exec -a "$0" sleep infinity' "$RUN/$1/net" </dev/null >/dev/null 2>&1 9>&- &
  echo $! >"$RUN/$1/net"
  until holds "$1"; do sleep 0.01; done
}

holds() { # NAME: before it holds, that is one of its arguments
  local called
  IFS= read -r -d '' called 2>/dev/null <"/proc/$(cat "$RUN/$1/net" 2>/dev/null)/cmdline" && [ "$called" = "$RUN/$1/net" ]
}

unplug() { # NAME
  ! holds "$1" || kill -KILL "$(cat "$RUN/$1/net")" 2>/dev/null || true
}

inside() { # NAME ip's arguments
  nsenter --net="/proc/$(cat "$RUN/$1/net")/ns/net" ip "${@:2}"
}

plug() { # SWITCH NAME ADDRESS
  [ "$(id -u)" = 0 ] || fail "making a network needs root"
  local port=p${3##*.}
  lock
  if [ ! -e "$RUN/$1/net" ]; then
    hold "$1"
    inside "$1" link add br0 type bridge
    inside "$1" link set br0 up
  fi
  hold "$2"
  inside "$2" link add eth0 type veth peer name "$port" netns "$(cat "$RUN/$1/net")"
  inside "$1" link set "$port" master br0 up
  inside "$2" addr add "$3/24" dev eth0
  inside "$2" link set eth0 up
}

cable() { # NAME up|down: the address, and the route to it, come back by themselves
  inside "$1" link set eth0 "$2"
}

# Nothing is made while, or after, all is removed: then there is no folder for the lock.
lock() {
  exec 9>"$RUN/lock"
  flock 9
}

# Whether the process in NAME/pid is still that engine, and no other that got its number.
alive() { # NAME
  local pid
  pid=$(cat "$RUN/$1/pid" 2>/dev/null) || return 1
  grep -qzF "$RUN/$1" "/proc/$pid/cmdline" 2>/dev/null || # the engine
    grep -qzF "engine.sh" "/proc/$pid/cmdline" 2>/dev/null # on its way to become it
}

cgroup() { echo "$(basename "$RUN")-$1"; }

cgroups() { # NAME: inner ones first
  find /sys/fs/cgroup/ -depth -type d \( -name "$(cgroup "$1")" -o -path "*/$(cgroup "$1")/*" \) 2>/dev/null
}

# For a program that starts engines and may die at any moment: it holds the other end of a pipe.
reap() {
  trap '' INT TERM HUP
  cat >/dev/null
  lock
  local home
  for home in "$RUN"/*/; do
    [ ! -d "$home" ] || remove "$(basename "$home")"
  done
  rm -rf "$RUN"
}

command=${1:?command: setup, start, stop, kill, reload, rm, docker-path, registry-path, plug, cut, heal, run or reap}
shift
case $command in
  setup | start | run) "$command" "${@:?VERSION}" ;;
  stop) stop "${1:?NAME}" TERM ;;
  kill) stop "${1:?NAME}" KILL ;;
  reload) reload "${1:?NAME}" ;;
  rm) remove "${1:?NAME}" ;;
  docker-path) (setup "${1:-28.5}") && echo "$BASE/${1:-28.5}/cli/docker" ;;
  plug) plug "${@:?SWITCH}" ;;
  cut) cable "${1:?NAME}" down ;;
  heal) cable "${1:?NAME}" up ;;
  registry-path) (setup registry) && echo "$BASE/registry/cli/docker-registry" ;;
  reap) reap ;;
  *) fail "unknown command $command" ;;
esac
