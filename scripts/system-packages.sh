#!/bin/sh
# Installs the Debian packages that a part of the project needs and this machine lacks. POSIX shell: it runs before Node 24 is here.
#
#   scripts/system-packages.sh GROUP...      groups: test e2e bench
#
# Root: installs what is missing. Anybody else: says what is missing and the command that mends it, and exits 1.
# Starts no service: what a package would start (redis-server, nginx) stays off.
set -eu

packages_of() {
  case $1 in
    # The encoders, the players, the Redis, the cache and the maker of certificates of the tests; the compiler of media-node/native.
    test)
      echo gcc libc6-dev ffmpeg redis-server openssl rtmpdump gstreamer1.0-tools gstreamer1.0-plugins-good \
        gstreamer1.0-plugins-bad vlc-bin vlc-plugin-base chromium nginx
      ;;
    # The Kubernetes of the end-to-end test: container runtime, pod network, kube-proxy's tools, image builds.
    # Its players: Chromium, and Python for a reader of playlists. The compiler of media-node/native, which goes into the image.
    e2e)
      echo gcc libc6-dev ffmpeg redis-server containerd runc containernetworking-plugins nftables iptables conntrack iproute2 \
        buildah openssl util-linux mount procps ca-certificates chromium python3-venv
      ;;
    # The compiler of the benchmark's own tools, the peers it measures beside, and what pins, watches and feeds them.
    bench) echo gcc libc6-dev libssl-dev nginx libnginx-mod-rtmp strace redis-server util-linux ffmpeg ;;
    *)
      echo "system-packages: no group named '$1'; the groups are: test e2e bench" >&2
      exit 2
      ;;
  esac
}

[ $# -gt 0 ] || { echo 'usage: scripts/system-packages.sh GROUP...   (groups: test e2e bench)' >&2; exit 2; }

wanted=
for group in "$@"; do
  packages=$(packages_of "$group")
  wanted="$wanted $packages"
done

if ! command -v dpkg-query >/dev/null 2>&1; then
  echo "system-packages: this is no Debian (no dpkg-query); install what these Debian packages hold by hand:$wanted" >&2
  exit 1
fi

# shellcheck disable=SC2086 # a list of words
installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' $wanted 2>/dev/null | sed -n 's/^installed //p')
missing=
for package in $wanted; do
  case " $(echo "$installed" | tr '\n' ' ') $missing " in
    *" $package "*) ;;
    *) missing="$missing $package" ;;
  esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "system-packages: missing Debian packages:$missing" >&2
  echo "system-packages: install them with:  sudo apt-get install --no-install-recommends$missing" >&2
  exit 1
fi

echo "system-packages: installing$missing"

# Package scripts ask policy-rc.d before they start a service: 101 says no. A policy that the machine already has is put back after.
policy=/usr/sbin/policy-rc.d
kept=$policy.before-livecluster
restore() {
  rm -f "$policy"
  [ ! -e "$kept" ] || mv "$kept" "$policy"
}
# A run that was killed has left its own policy, and the machine's under the other name.
if [ -e "$policy" ] && [ ! -e "$kept" ]; then
  mv "$policy" "$kept"
fi
trap restore EXIT
trap 'exit 1' HUP INT TERM
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
run() {
  if ! "$@" >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    echo "system-packages: failed: $*" >&2
    rm -f "$log"
    exit 1
  fi
}
# Mirrors are away for a moment now and then, and a machine that has just started may be updating itself.
run apt-get update -q -o Acquire::Retries=5
# shellcheck disable=SC2086
run apt-get install -y -q -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 --no-install-recommends $missing
rm -f "$log"
echo 'system-packages: done'
