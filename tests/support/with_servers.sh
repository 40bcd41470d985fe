#!/usr/bin/env bash
# Sees to RabbitMQ, PostgreSQL and Chromium for the tests, runs a command, stops what it started: with_servers.sh COMMAND…
# For each, in this order, the first that is there:
#   given      SUBLET_TEST_AMQP_URL (and SUBLET_TEST_RABBITMQ_API), SUBLET_TEST_POSTGRES_URL: used as it is, never stopped
#   installed  an installed server: the tests start it privately themselves (tests/support/rabbitmq.py, postgres.py)
#   package    root on Debian or Ubuntu: the distribution's package is installed, without starting it as a service
#   container  Docker or Podman: a container on free ports of the loopback interface (not for Chromium)
# SUBLET_TEST_RABBITMQ_FROM=given|installed|package|container insists on one of them.
set -euo pipefail
image=docker.io/library/rabbitmq:4-management
postgres_image=docker.io/library/postgres:17
start_seconds_max=120

say() { echo "with_servers.sh: $*" >&2; }
wanted() { [[ -z ${SUBLET_TEST_RABBITMQ_FROM:-} || ${SUBLET_TEST_RABBITMQ_FROM} == "$1" ]]; }

installed() { [[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]] || command -v rabbitmq-server >/dev/null; }

postgres_installed() { compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || command -v postgres >/dev/null; }

browser_installed() {
  command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null
}

can_install() { [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; }

# policy-rc.d is how Debian's packages are told not to start services; the machine's own one is put back.
install_package() ( # its name, and those of others that it is used with
  policy=/usr/sbin/policy-rc.d kept=''
  restore() { if [[ -n $kept ]]; then mv "$kept" "$policy"; else rm -f "$policy"; fi; }
  if [[ -e $policy ]]; then kept=$(mktemp /usr/sbin/policy-rc.d.XXXXXX); cp -p "$policy" "$kept"; fi
  trap restore EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  "${apt[@]}" update >&2
  # A package that cannot be set up wholly is told of every time anything is installed: what counts is that the program is there.
  DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends "$@" >/dev/null ||
    say "apt-get is not content with everything; going on if $1 is there"
  [[ ! -d /run/systemd/system ]] || systemctl --quiet disable rabbitmq-server epmd.socket postgresql 2>/dev/null || true
)

engine() { local name; for name in docker podman; do "$name" info >/dev/null 2>&1 && echo "$name" && return; done; return 1; }

port_of() { "$engine" port "${2:-$container}" "$1/tcp" | sed -n 's/^127\.0\.0\.1://p' | head -n 1; }

# A published port accepts before the server behind it does, so both protocols must answer.
answers() ( # port, the bytes to send, what the answer begins with
  exec 3<>"/dev/tcp/127.0.0.1/$1"
  printf '%b' "$2" >&3
  timeout 2 head -c "${#3}" <&3 | tr '\0\1' '01' | grep -q "^$3"
) 2>/dev/null

listening() {
  answers "$(port_of 5672)" 'AMQP\0000\0000\0011\0001' 10 && answers "$(port_of 15672)" 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' HTTP
}

container='' postgres_container=''
remove() { for one in $container $postgres_container; do "$engine" rm --force --volumes "$one" >/dev/null; done; }

start_postgres() {
  local password deadline=$((SECONDS + start_seconds_max))
  password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  postgres_container=$(POSTGRES_PASSWORD=$password "$engine" run --detach --env POSTGRES_PASSWORD \
    --publish 127.0.0.1::5432 "$postgres_image")
  trap remove EXIT
  until "$engine" exec "$postgres_container" pg_isready --quiet --host=127.0.0.1; do
    if ((SECONDS > deadline)); then say "PostgreSQL did not listen within $start_seconds_max s"; exit 2; fi
    sleep 1
  done
  export SUBLET_TEST_POSTGRES_URL="postgresql://postgres:$password@127.0.0.1:$(port_of 5432 "$postgres_container")/postgres"
}

start_container() {
  local password deadline=$((SECONDS + start_seconds_max))
  password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  export RABBITMQ_DEFAULT_USER=sublet-test RABBITMQ_DEFAULT_PASS=$password
  container=$("$engine" run --detach --env RABBITMQ_DEFAULT_USER --env RABBITMQ_DEFAULT_PASS \
    --publish 127.0.0.1::5672 --publish 127.0.0.1::15672 "$image")
  trap remove EXIT
  until listening; do
    if ((SECONDS > deadline)); then
      "$engine" logs --tail 30 "$container" >&2
      say "the container did not listen within $start_seconds_max s"
      exit 2
    fi
    sleep 1
  done
  export SUBLET_TEST_AMQP_URL="amqp://sublet-test:$password@127.0.0.1:$(port_of 5672)/"
  export SUBLET_TEST_RABBITMQ_API="http://sublet-test:$password@127.0.0.1:$(port_of 15672)"
}

if wanted given && [[ -n ${SUBLET_TEST_AMQP_URL:-} ]]; then
  say "using the given server"
elif wanted installed && installed; then
  say "using the installed server, started privately by the tests"
elif wanted package && can_install; then
  say "installing the distribution's rabbitmq-server (it is not started as a service) …"
  install_package rabbitmq-server
  installed || { say "rabbitmq-server could not be installed"; exit 2; }
elif wanted container && engine=$(engine); then
  say "starting a container of $image with $engine …"
  start_container
else
  say "no RabbitMQ to test with. Do one of these: set SUBLET_TEST_AMQP_URL and SUBLET_TEST_RABBITMQ_API," \
    "install rabbitmq-server, run as root on Debian or Ubuntu, or start Docker."
  exit 2
fi
if [[ -n ${SUBLET_TEST_POSTGRES_URL:-} ]]; then
  say "using the given PostgreSQL"
elif postgres_installed; then
  say "using the installed PostgreSQL, started privately by the tests"
elif can_install; then
  say "installing the distribution's postgresql (it is not started as a service) …"
  install_package postgresql
  postgres_installed || { say "postgresql could not be installed"; exit 2; }
elif engine=$(engine); then
  say "starting a container of $postgres_image with $engine …"
  start_postgres
else
  say "no PostgreSQL to test with: set SUBLET_TEST_POSTGRES_URL, install postgresql, run as root on Debian or Ubuntu, or" \
    "start Docker."
  exit 2
fi
if browser_installed; then
  say "using the installed Chromium"
elif can_install; then
  say "installing the distribution's chromium …"
  install_package chromium libatomic1 # without which Playwright's driver does not start
  browser_installed || { say "chromium could not be installed"; exit 2; }
else
  say "no browser to test the page with: install chromium, or run as root on Debian or Ubuntu."
  exit 2
fi
"$@"
