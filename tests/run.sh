#!/bin/sh
# All checks and tests of Homeward, for developers and CI alike.
#
#   sh tests/run.sh [--long]
#
# As root on Debian or Ubuntu it first installs the packages named in tests/packages.txt. What a
# machine cannot do is skipped, counted, and told with the reason; with HOMEWARD_REQUIRE=all a skip
# is a failure. --long adds release builds, tests marked `#[ignore]` (soaks, matrices), longer
# fuzzing and cargo-deny. Logs of the steps stay in target/tests/. Exit status: 0 good, 1 something
# failed, 2 wrong usage.

set -u
cd "$(dirname "$0")/.." || exit 2

long=no
fuzz_seconds=4
for argument; do
    case $argument in
        --long) long=yes fuzz_seconds=60 ;;
        *) echo "usage: sh tests/run.sh [--long]" >&2; exit 2 ;;
    esac
done

work=$PWD/target/tests
tools=$PWD/target/tools
mkdir -p "$tools/bin" || exit 2
# Two runs in one tree would overwrite each other's logs.
exec 9>target/tests.lock
if command -v flock >/dev/null 2>&1 && ! flock -n 9; then
    echo "another run of tests/run.sh is under way here" >&2
    exit 2
fi
rm -rf "$work"
mkdir -p "$work" || exit 2
PATH=$tools/bin:$PATH:/usr/sbin:/sbin
CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
HOMEWARD_SKIPS=$work/skips
export PATH CARGO_TERM_COLOR HOMEWARD_SKIPS
: >"$HOMEWARD_SKIPS"
: >"$work/failures"
passed=0
failed=0
child=

# ---- steps ------------------------------------------------------------------------------------

# run LIMIT NAME COMMAND...: one step with a time limit in seconds; its output is shown and kept in
# $log, its exit status in $status. The command's own status counts, no pipe hides it.
run() {
    limit=$1 name=$2
    shift 2
    log=$work/$(printf %s "$name" | tr -cs 'A-Za-z0-9' '-').log
    begun=$(date +%s)
    printf '\n== %s: %s\n' "$name" "$*"
    : >"$log"
    timeout -k 10 "$limit" "$@" </dev/null >"$log" 2>&1 9>&- &
    child=$!
    tail -n +1 -s 0.2 -f --pid="$child" "$log" 2>/dev/null
    wait "$child"
    status=$?
    child=
    if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
        echo "$name: stopped after its limit of $limit s" | tee -a "$log"
    fi
    printf -- '-- %s: status %s after %s s\n' "$name" "$status" "$(($(date +%s) - begun))"
}

# check LIMIT NAME COMMAND...: a step that counts as one test.
check() {
    run "$@"
    if [ "$status" -eq 0 ]; then
        passed=$((passed + 1))
    else
        fail "$name (status $status, $log)"
    fi
}

# tests LIMIT NAME COMMAND...: a step whose tests are counted one by one, as libtest reports them.
tests() {
    run "$@"
    set -- $(awk '/^test result: / { p += $4; f += $6 } END { print p + 0, f + 0 }' "$log")
    passed=$((passed + $1))
    sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log" >>"$work/failures"
    failed=$((failed + $2))
    # A crash, a time-out or code that does not compile is a failure that libtest cannot count.
    if [ "$status" -ne 0 ] && [ "$2" -eq 0 ]; then
        fail "$name (status $status, $log)"
    fi
}

fail() {
    echo "$1" >>"$work/failures"
    failed=$((failed + 1))
}

# skip NAME REASON
skip() {
    if [ "${HOMEWARD_REQUIRE:-}" = all ]; then
        fail "$1 may not be skipped (HOMEWARD_REQUIRE=all): $2"
    else
        echo "SKIP $1: $2" | tee -a "$HOMEWARD_SKIPS"
    fi
}

have() {
    case $1 in
        /*) [ -e "$1" ] ;;
        *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

# ---- packages ---------------------------------------------------------------------------------

policy=/usr/sbin/policy-rc.d
policy_state=

# Keeps the services of newly installed packages from starting, as invoke-rc.d(8) provides for.
hold_services() {
    if [ -e "$policy" ] || [ -L "$policy" ]; then
        mv "$policy" "$policy.before-tests" || return 1
        policy_state=moved
    else
        policy_state=made
    fi
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
}

release_services() {
    case $policy_state in
        moved) mv -f "$policy.before-tests" "$policy" ;;
        made) rm -f "$policy" ;;
    esac
    policy_state=
}

install_packages() {
    wanted=
    while read -r what package; do
        case $what in ''|'#'*) continue ;; esac
        have "$what" || wanted="$wanted $package"
    done <tests/packages.txt
    [ -n "$wanted" ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! have apt-get; then
        echo "not installed, and only root on Debian or Ubuntu can:$wanted"
        return 0
    fi
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    run 300 "apt-get update" apt-get update -q -o DPkg::Lock::Timeout=120
    available=
    for package in $wanted; do
        if apt-cache show "$package" >/dev/null 2>&1; then
            available="$available $package"
        else
            echo "this distribution has no package $package"
        fi
    done
    [ -n "$available" ] || return 0
    hold_services || { echo "cannot write $policy: nothing installed"; return 0; }
    # $available is a list on purpose.
    run 900 "apt-get install" apt-get install -q -y -o DPkg::Lock::Timeout=120 --no-install-recommends $available
    release_services
}

install_rust_parts() {
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && return
    have rustup && run 300 "rustup component add" rustup component add rustfmt clippy
}

# tool NAME VERSION: a cargo subcommand, installed below target/ if it is not there.
tool() {
    have "$1" && return 0
    run 900 "install $1" cargo install -q --locked --root "$tools" --version "$2" "$1"
    have "$1"
}

# ---- what is run at the end, whatever happens ---------------------------------------------------

finish() {
    [ -z "$child" ] || kill "$child" 2>/dev/null
    release_services
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- the run ----------------------------------------------------------------------------------

have cargo || { echo "cargo is not installed" >&2; exit 2; }
install_packages
install_rust_parts

if cargo fmt --version >/dev/null 2>&1; then
    check 120 "format" cargo fmt --all --check
else
    skip format "rustfmt is not installed"
fi
if cargo clippy --version >/dev/null 2>&1; then
    check 1200 "clippy" cargo clippy --workspace --all-targets -- -D warnings
else
    skip clippy "clippy is not installed"
fi

# The benches are run once each, as tests; what they measure is measured with `cargo bench`.
targets="--lib --bins --tests --examples"
[ -z "$(ls benches/*.rs 2>/dev/null)" ] || targets="$targets --benches"
# $targets is a list on purpose.
tests 1800 "tests" cargo test --workspace --no-fail-fast $targets
tests 600 "doc tests" cargo test --workspace --no-fail-fast --doc
check 900 "documentation" env RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" \
    cargo doc --workspace --no-deps --document-private-items

if tool cargo-fuzz 0.13.2; then
    check 1200 "fuzz build" cargo fuzz build --fuzz-dir tests/fuzz --target-dir target/fuzz -s none
    if [ "$status" -eq 0 ]; then
        for target in tests/fuzz/fuzz_targets/*.rs; do
            target=$(basename "$target" .rs)
            mkdir -p "target/fuzz-corpus/$target"
            # What is found goes to the first folder; the seeds in the second stay as they are.
            check $((fuzz_seconds + 300)) "fuzz $target" \
                cargo fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz -s none "$target" \
                "target/fuzz-corpus/$target" "tests/fuzz/corpus/$target" -- \
                -max_total_time="$fuzz_seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 \
                -verbosity=0 -print_final_stats=1
        done
    fi
else
    skip fuzz "cargo-fuzz is not installed and could not be installed"
fi

if [ "$long" = yes ]; then
    tests 3600 "tests in release" cargo test --release --workspace --no-fail-fast \
        --lib --bins --tests -- --include-ignored
    check 1200 "demo" cargo run --release -- demo --calls 20 --seconds 5 --json
    [ -z "$(ls benches/*.rs 2>/dev/null)" ] ||
        check 1800 "benches" cargo bench --bench '*' -- --test
    if tool cargo-deny 0.20.2; then
        check 300 "deny" cargo deny check --config .deny.toml bans licenses sources
    else
        skip deny "cargo-deny is not installed and could not be installed"
    fi
fi

# ---- the result -------------------------------------------------------------------------------

skipped=$(wc -l <"$HOMEWARD_SKIPS" | tr -d ' ')
left=$(awk '/^test result: / { n += $8 } END { print n + 0 }' "$work/tests.log")
printf '\n'
[ "$long" = yes ] || [ "$left" -eq 0 ] || echo "$left tests are run only with --long"
sort "$HOMEWARD_SKIPS"
sed 's/^/FAIL /' "$work/failures"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
