#!/bin/sh
#
# Makes machines and sets them up: deploy/run.sh [OPTION...] PROVIDER [-- ANSIBLE OPTION...]
#
# PROVIDER is digitalocean or hetzner. Runs terraform (or tofu) apply in
# deploy/terraform/PROVIDER, writes Ansible's inventory there, waits for SSH,
# and runs the playbook of deploy/ansible. Again, it changes only what differs.
#
#   -y, --yes      don't ask before machines are made, changed or removed
#   -p, --plan     say what Terraform would do, and end
#   -d, --destroy  remove the machines
#   -h, --help     print this
#
# Needs a file terraform.tfvars beside the PROVIDER's main.tf, and its token in
# DIGITALOCEAN_TOKEN or HCLOUD_TOKEN. TERRAFORM is the program to call, if it is
# another; SSH_WAIT how many seconds machines have to come up in, 300 if not set.

set -eu

usage() {
    sed -n '3,/^$/s/^# \{0,1\}//p' "$0"
}

say() {
    echo "run.sh: $*" >&2
}

fail() {
    say "$*"
    exit 1
}

misuse() {
    say "$*; --help says how it is called"
    exit 2
}

has() {
    command -v "$1" > /dev/null 2>&1
}

# the program that speaks Terraform's language

terraform_program() {
    if [ -n "${TERRAFORM-}" ]; then
        has "$TERRAFORM" || fail "no $TERRAFORM here, which TERRAFORM names"
        return
    fi

    for TERRAFORM in terraform tofu; do
        ! has "$TERRAFORM" || return 0
    done

    fail "no terraform or tofu here: install Terraform 1.3 or newer, or OpenTofu"
}

need_tools() {
    terraform_program

    [ "$action" = apply ] || return 0

    has ansible-playbook \
        || fail "no ansible-playbook here: install ansible-core ('apt-get install ansible-core' on Debian)"
    has ssh || fail "no ssh here: install it ('apt-get install openssh-client' on Debian)"
}

need_settings() {
    case $provider in
    digitalocean) token=DIGITALOCEAN_TOKEN ;;
    hetzner) token=HCLOUD_TOKEN ;;
    esac

    tfvars=$terraform/terraform.tfvars

    [ -r "$tfvars" ] \
        || fail "no $tfvars: copy terraform.tfvars.example, which stands beside it, and fill it in"

    eval "value=\${$token-}"

    [ -n "$value" ] || [ -n "${TF_VAR_token-}" ] \
        || grep -q '^[[:space:]]*token[[:space:]]*=' "$tfvars" \
        || fail "no API token: set $token in the environment"
}

tf() {
    "$TERRAFORM" -chdir="$terraform" "$@"
}

# whose key isn't known is taken at the first connection, and not another later

ssh_options() {
    echo "-o StrictHostKeyChecking=accept-new" \
        "-o 'UserKnownHostsFile=\"$terraform/known_hosts\"'"
}

answers() {
    ssh -n -o BatchMode=yes -o ConnectTimeout=5 \
        -o StrictHostKeyChecking=accept-new \
        -o UserKnownHostsFile="\"$terraform/known_hosts\"" "root@$1" true \
        2> "$work/ssh"
}

# a new machine is minutes away

wait_for_ssh() {
    end=$(($(date +%s) + ${SSH_WAIT-300}))

    addresses=$(tf output -raw addresses) || fail "terraform has no addresses"

    for address in $addresses; do
        say "waiting for $address"

        until answers "$address"; do
            [ "$(date +%s)" -lt "$end" ] \
                || fail "$address doesn't let root in: $(tail -n 1 "$work/ssh")"
            sleep 2
        done
    done
}

# written whole or not at all

write_inventory() {
    tf output -raw inventory > "$terraform/inventory.yml.new" \
        || fail "terraform has no inventory"
    mv "$terraform/inventory.yml.new" "$terraform/inventory.yml"
    say "wrote $terraform/inventory.yml"
}

action=apply
yes=
provider=

while [ $# -gt 0 ]; do
    case $1 in
    -h|--help) usage; exit 0 ;;
    -y|--yes) yes=-auto-approve ;;
    -p|--plan) action=plan ;;
    -d|--destroy) action=destroy ;;
    --) shift; break ;;
    -*) misuse "no option $1" ;;
    *)
        [ -z "$provider" ] || misuse "one provider, not \"$provider\" and \"$1\""
        provider=$1
        ;;
    esac
    shift
done

case $provider in
digitalocean|hetzner) ;;
'') misuse "which provider, digitalocean or hetzner?" ;;
*) misuse "no provider \"$provider\"; there are digitalocean and hetzner" ;;
esac

deploy=$(cd "$(dirname "$0")" && pwd)
terraform=$deploy/terraform/$provider

need_tools
need_settings

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM

tf init -input=false > "$work/init" 2>&1 \
    || { cat "$work/init" >&2; fail "terraform init failed"; }

case $action in
plan) tf plan -input=false; exit ;;
destroy)
    # shellcheck disable=SC2086  # an option or nothing
    tf destroy $yes
    rm -f "$terraform/inventory.yml" "$terraform/known_hosts"
    exit
    ;;
esac

# shellcheck disable=SC2086
tf apply $yes || fail "terraform apply failed"

write_inventory
wait_for_ssh

cd "$deploy/ansible"
ANSIBLE_SSH_COMMON_ARGS=$(ssh_options)
export ANSIBLE_SSH_COMMON_ARGS

ansible-playbook -i "$terraform/inventory.yml" site.yml "$@"
