#!/usr/bin/env bash
# Runs the whole test suite. GPU tests need a Vulkan driver: where none is found, software Vulkan (Mesa lavapipe) is
# installed from Debian's or Ubuntu's packages. Arguments go to `cargo test`. REQUIRE_GPU=1 turns a missing adapter into
# a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

has_loader() { ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1' || /sbin/ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1'; }
has_driver() {
    [ -n "${VK_ICD_FILENAMES:-}${VK_DRIVER_FILES:-}" ] && return 0
    ls /usr/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json /usr/local/share/vulkan/icd.d/*.json >/dev/null 2>&1
}
if ! has_loader || ! has_driver; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo"
    if command -v apt-get >/dev/null && { [ -z "$sudo" ] || command -v sudo >/dev/null; }; then
        echo "no Vulkan driver: installing mesa-vulkan-drivers" >&2
        $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq libvulkan1 mesa-vulkan-drivers >/dev/null ||
            echo "could not install mesa-vulkan-drivers" >&2
    else
        echo "no Vulkan driver and no apt-get: GPU tests will be skipped" >&2
    fi
fi
# Keeps Mesa's device-select layer from asking for a desktop session.
export NODEVICE_SELECT="${NODEVICE_SELECT:-1}"
exec cargo test "$@"
