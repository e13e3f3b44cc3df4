#!/usr/bin/env bash
# What is published: the wheel, the source distribution and the crate package hold what they should, and no more.
#   scripts/python-package-check.sh WHEEL SDIST
#   scripts/python-package-check.sh --build [FOLDER]
# The second builds both into FOLDER (target/python-package) before, with maturin.
# Without cargo, what only cargo can tell is left out, and it says so.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
--build)
    out="${2:-target/python-package}"
    mkdir -p "$out"
    rm -f "$out"/isacbench-*.whl "$out"/isacbench-*.tar.gz
    maturin build --release --manifest-path python/Cargo.toml --target-dir target --out "$out"
    maturin sdist --manifest-path python/Cargo.toml --out "$out"
    wheel="$(echo "$out"/isacbench-*.whl)" sdist="$(echo "$out"/isacbench-*.tar.gz)"
    ;;
*.whl)
    [ $# = 2 ] || { echo "$0: WHEEL SDIST" >&2; exit 2; }
    wheel="$1" sdist="$2"
    ;;
*)
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

unpacked="$(mktemp -d)"
trap 'rm -rf "$unpacked"' EXIT
tar -xzf "$sdist" -C "$unpacked"

python3 - "$wheel" "$sdist" "$unpacked" <<'EOF'
import os, re, sys, zipfile

wheel, sdist, unpacked = sys.argv[1:]
wrong = []


def check(holds, what):
    print(f"{'ok   ' if holds else 'WRONG'} {what}")
    if not holds:
        wrong.append(what)


def version(path):
    with open(path, encoding="utf-8") as file:
        return re.search(r'^version = "([^"]+)"$', file.read(), re.MULTILINE)[1]


def size(path):
    return f"{os.path.getsize(path) / 1e6:.2f} MB"


own = version("Cargo.toml")
check(version("python/Cargo.toml") == own, f"python/Cargo.toml is version {own}, as Cargo.toml")

print(f"wheel, {size(wheel)}")
with zipfile.ZipFile(wheel) as archive:
    names = set(archive.namelist())
    info = f"isacbench-{own}.dist-info"
    metadata = f"{info}/METADATA"
    check(metadata in names, f"has {metadata}")
    told = archive.read(metadata).decode() if metadata in names else ""
    entry = f"{info}/entry_points.txt"
    programs = archive.read(entry).decode() if entry in names else ""
check(f"\nVersion: {own}\n" in told, f"its metadata say version {own}")
check("\nRequires-Python: >=3.10\n" in told, "its metadata ask for Python 3.10")
check("\nLicense-Expression: MIT\n" in told, "its metadata name the licence")
check("isacbench=isacbench.__main__:main" in programs, "brings the program isacbench")
check("-cp310-abi3-" in os.path.basename(wheel), "is one for all Pythons from 3.10 on")
for name in ("py.typed", "_core.pyi"):
    check(f"isacbench/{name}" in names, f"has {name}")
check(any(re.fullmatch(r"isacbench/_core\.(abi3\.so|pyd)", n) for n in names), "has the extension module")
check(any(n.startswith(info) and n.endswith(("/LICENSE", "/LICENSE.txt")) for n in names), "has LICENSE")
modules = {f"isacbench/{n}" for n in os.listdir("python/isacbench") if n.endswith(".py")}
check(modules <= names, f"has all {len(modules)} Python files")
strange = sorted(n for n in names if not n.startswith(("isacbench/", info)) or "__pycache__" in n)
check(not strange, f"has nothing else {' '.join(strange[:5])}".rstrip())

print(f"source distribution, {size(sdist)}")
root = os.path.join(unpacked, f"isacbench-{own}")
check(os.listdir(unpacked) == [f"isacbench-{own}"], f"unpacks into isacbench-{own}")
found = {os.path.relpath(os.path.join(at, f), root) for at, _, files in os.walk(root) for f in files}
for name in ("PKG-INFO", "pyproject.toml", "Cargo.toml", "Cargo.lock", "src/lib.rs", "python/Cargo.toml"):
    check(name in found, f"has {name}")
check(any(n.endswith("revision/Cargo.toml") for n in found), "has the crate revision")
check(any(n.endswith("LICENSE.txt") for n in found), "has LICENSE")
for name in sorted(modules | {"isacbench/py.typed", "isacbench/_core.pyi"}):
    if name not in found and f"python/{name}" not in found:
        check(False, f"has {name}")
# Files that the compiler reads.
missing = set()
for name in found:
    if name.startswith("src/") and name.endswith(".rs"):
        with open(os.path.join(root, name), encoding="utf-8") as file:
            for to in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', file.read()):
                path = os.path.normpath(os.path.join(os.path.dirname(name), to))
                if path not in found:
                    missing.add(path)
shaders = {os.path.join(at, f) for at, _, files in os.walk("shaders") for f in files}
missing |= shaders - found
check(not missing, f"has all that its sources include {' '.join(sorted(missing)[:5])}".rstrip())
check(os.path.getsize(sdist) < 2e6, "is smaller than 2 MB")
check(not any(n.startswith(("results/", "tests/golden/")) for n in found), "has no results and no golden vectors")
sys.exit(f"{len(wrong)} of what is checked is wrong" if wrong else 0)
EOF

if ! command -v cargo >/dev/null; then
    echo "no cargo: the crate package and the sources' manifests are not checked"
    exit 0
fi
cargo metadata --format-version 1 --manifest-path "$unpacked"/isacbench-*/python/Cargo.toml >/dev/null
echo "ok    cargo accepts the manifests of the source distribution"
cargo package --package isacbench --allow-dirty --list >"$unpacked/list"
python3 - "$unpacked/list" <<'EOF'
import io, os, re, sys, tarfile

with open(sys.argv[1], encoding="utf-8") as file:
    names = file.read().split("\n")[:-1]
wrong = [n for n in names if re.match(r"(results|tests/golden|python|fuzz)/", n)]
need = {"src/main.rs", "README.md", "LICENSE", "benches/performance/main.rs", "examples/own_task/main.rs"}
need |= {os.path.join(at, f) for top in ("shaders", "configs") for at, _, files in os.walk(top) for f in files}
missing = sorted(need - set(names))
packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w:gz") as archive:
    # Cargo makes some of them itself, small ones.
    for name in filter(os.path.isfile, names):
        archive.add(name)
size = len(packed.getvalue())
print(f"crate package, {len(names)} files, {size / 1e6:.2f} MB compressed")
if wrong or missing or size >= 2e6:
    sys.exit(f"WRONG: holds {wrong[:5]}, lacks {missing[:5]}, or is 2 MB or more")
print("ok    has no results, golden vectors and Python files, all that is compiled, and is smaller than 2 MB")
EOF
