#!/usr/bin/perl

# t/97-terraform.t: machines by Terraform, and all in one command by run.sh
#
# TERRAFORM_DIR is a directory with terraform or tofu, and maybe with a "mock"
# that was built of t/terraform. What isn't there is looked for in PATH; mock is
# built by go. Where either is missing, the tests that need it are skipped.

use warnings;
use strict;

use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::Bin/lib";

use Container qw(await command directory link_to read_file write_file);
use Machine;

my $deploy = "$FindBin::Bin/../deploy";
our $tools = $ENV{TERRAFORM_DIR};
my $dir = directory();
my $copy = "$dir/deploy";
my %version = (hetzner => ['hetznercloud', 'hcloud'],
    digitalocean => ['digitalocean', 'digitalocean']);
my %variable = (hetzner => 'HCLOUD_TOKEN',
    digitalocean => 'DIGITALOCEAN_TOKEN');
my $secret = 'token-that-nobody-shows';

# a copy, whose state is its own

command('cp', '-R', $deploy, $copy)->{status} == 0 or die "can't copy\n";


sub tool {
    my ($name) = @_;

    return "$tools/$name" if $tools && -x "$tools/$name";

    my $r = command('sh', '-c', 'command -v "$0"', $name);
    chomp $r->{out};

    return $r->{status} == 0 ? $r->{out} : undef;
}


# A directory of these programs alone, as PATH.

sub path {
    my (@names) = @_;

    my $bin = directory();

    for my $name (@names) {
        my $tool = tool($name);
        symlink $tool, "$bin/$name" if $tool;
    }

    return $bin;
}


# run.sh where there are these programs and the usual ones, and this
# environment.

sub run_sh {
    my ($programs, $environment, @arguments) = @_;

    my $path = path(@$programs, qw(sh env cat dirname grep sed mktemp rm mv date
        tail sleep));

    return command({ seconds => 300 }, 'env', '-i', "PATH=$path",
        @$environment, "$copy/run.sh", @arguments);
}


sub says {
    my ($programs, $environment, $arguments, $status, $text, $promise) = @_;

    my $r = run_sh($programs, $environment, @$arguments);

    is($r->{status}, $status, $promise);
    like($r->{out}, $text, 'and says so') or diag $r->{out};
}


# what run.sh says is missing; nothing of this is a program, but "true"

my $dummy = directory();
my @all = map {
    symlink '/bin/true', "$dummy/$_" or die "$_: $!\n";
    $_;
} qw(terraform ansible-playbook ssh);

{
    local $tools = $dummy;

    says([], [], ['--help'], 0, qr/^PROVIDER is digitalocean or hetzner/m,
        'run.sh has a help');
    says([], [], [], 2, qr/which provider, digitalocean or hetzner\?/,
        'run.sh needs a provider');
    says([], [], ['aws'], 2, qr/no provider "aws"/, 'one that it knows');
    says([], [], ['--fast', 'hetzner'], 2, qr/no option --fast/,
        'and options that it knows');

    says(['ansible-playbook', 'ssh'], [], ['hetzner'], 1,
        qr/no terraform or tofu here: install/, 'it needs terraform');
    says([], ['TERRAFORM=tofu-1.9'], ['hetzner'], 1, qr/no tofu-1\.9 here/,
        'or the program that TERRAFORM names');
    says(['terraform', 'ssh'], [], ['hetzner'], 1,
        qr/no ansible-playbook here: install ansible-core/, 'and Ansible');
    says(['terraform', 'ansible-playbook'], [], ['hetzner'], 1,
        qr/no ssh here/, 'and ssh');
    says(\@all, [], ['hetzner'], 1,
        qr{hetzner/terraform\.tfvars: copy terraform\.tfvars\.example},
        'and settings');

    for my $provider (sort keys %variable) {
        command('cp', "$copy/terraform/common/terraform.tfvars.example",
            "$copy/terraform/$provider/terraform.tfvars");
        says(\@all, [], [$provider], 1,
            qr/no API token: set $variable{$provider}/, "and $provider\'s token");
    }
}


# Each provider's way is the same.

for my $file (qw(variables.tf outputs.tf terraform.tfvars.example)) {
    is(read_file("$deploy/terraform/hetzner/$file"),
        read_file("$deploy/terraform/digitalocean/$file"),
        "both providers have the same $file");
}

my $program = tool('terraform') // tool('tofu');

if (!$program) {
    diag 'skipped: no terraform or tofu in PATH or TERRAFORM_DIR';
    done_testing();
    exit;
}

$ENV{CHECKPOINT_DISABLE} = 1;
$ENV{TF_CLI_CONFIG_FILE} = write_file("$dir/rc", '');
$ENV{TF_IN_AUTOMATION} = 1;
delete @ENV{values %variable};


sub terraform {
    my ($in, @arguments) = @_;

    return command({ seconds => 300 }, $program, "-chdir=$copy/terraform/$in",
        @arguments);
}


like(command($program, 'version')->{out}, qr/v\d/, 'terraform runs');
is(terraform('.', 'fmt', '-check', '-recursive', '-diff')->{out}, '',
    'all is formatted as terraform would');


# Providers that make nothing, in place of those that would cost money.

sub mock {
    my $mock = tool('mock');
    return $mock if $mock;
    return if !tool('go');

    my $r = command({ seconds => 300 }, 'env', '-C',
        "$FindBin::Bin/terraform", 'GOFLAGS=-buildvcs=false -mod=readonly',
        tool('go'), 'build', '-o', "$dir/mock", '.');

    diag $r->{out} if $r->{status} != 0;

    return $r->{status} == 0 ? "$dir/mock" : undef;
}


my $mock = mock();

if (!$mock) {
    diag 'skipped: no mock in TERRAFORM_DIR, and it can\'t be built by go';
    done_testing();
    exit;
}

my $arch = command('uname', '-m')->{out} =~ /aarch64/ ? 'arm64' : 'amd64';

for my $provider (keys %version) {
    my ($owner, $name) = @{ $version{$provider} };
    my ($number) = read_file("$deploy/terraform/$provider/versions.tf")
        =~ /^\s+version\s+=\s+"(\d+\.\d+\.\d+)"$/m;

    ok($number, "$provider\'s provider has one version");

    for my $host (qw(registry.terraform.io registry.opentofu.org)) {
        my $path = "$dir/mirror/$host/$owner/$name/$number/linux_$arch";
        command('mkdir', '-p', $path);
        command('cp', $mock, "$path/terraform-provider-${name}_v$number");
    }
}

write_file("$dir/rc", <<"END");
provider_installation {
  filesystem_mirror {
    path = "$dir/mirror"
  }
}
END


for my $provider (sort keys %version) {
    my $tfvars = "$copy/terraform/$provider/terraform.tfvars";
    my $r = terraform($provider, 'init', '-input=false', '-no-color');

    is($r->{status}, 0, "$provider: init") or diag $r->{out};

    $r = terraform($provider, 'validate', '-no-color');
    is($r->{status}, 0, "$provider: the configuration is valid")
        or diag $r->{out};

    local $ENV{ $variable{$provider} } = $secret;

    $r = terraform($provider, 'plan', '-no-color', '-input=false');
    like($r->{out}, qr/^Plan: \d+ to add, 0 to change, 0 to destroy\.$/m,
        "$provider: the example can be planned");
    is(() = $r->{out} =~ /_(?:server|droplet)\.\S+ will be created/g, 3,
        'a monitor and two nodes');
    like($r->{out}, qr/"51820"/, 'a firewall that admits WireGuard');
    is(index($r->{out}, $secret), -1, 'the token is not shown');

    for my $wrong (
        ['ssh_public_keys = []', qr/nobody could log in/],
        ['ssh_public_keys = ["x"]', qr/line of a \.pub file/],
        ['nodes = { "A b" = {} }', qr/node's name has to be/],
        ['nodes = { monitor = {} }', qr/and not "monitor"/],
        ['monitor = "grafana"', qr/"prometheus" or "container"/])
    {
        my ($line, $text) = @$wrong;
        my ($name) = $line =~ /^(\w+)/;
        my $example = read_file($tfvars);

        if ($name eq 'nodes') {
            $example =~ s/^nodes = \{\n.*?^\}\n//ms;
        } else {
            $example =~ s/^$name = .*\n//m;
        }

        write_file("$dir/wrong.tfvars", "$example$line\n");
        rename $tfvars, "$tfvars.right" or die "$tfvars: $!\n";
        $r = terraform($provider, 'plan', '-no-color', '-input=false',
            "-var-file=$dir/wrong.tfvars");
        rename "$tfvars.right", $tfvars or die "$tfvars: $!\n";

        isnt($r->{status}, 0, "$line is refused");
        like($r->{out} =~ s/\n(?:\x{e2}\x{94}\x{82}|)\s*/ /gr, $text,
            'and why');
    }

    $r = terraform($provider, 'apply', '-no-color', '-auto-approve',
        '-input=false');
    is($r->{status}, 0, "$provider: machines are made") or diag $r->{out};

    is(index(read_file("$copy/terraform/$provider/terraform.tfstate"),
        $secret), -1, 'the token is not in the state');

    $r = terraform($provider, 'apply', '-no-color', '-auto-approve',
        '-input=false');
    like($r->{out}, qr/0 added, 0 changed, 0 destroyed/,
        'a second time changes nothing');

    write_file($tfvars, read_file($tfvars) =~ s/^  node-1 .*\n//mr);
    $r = terraform($provider, 'apply', '-no-color', '-auto-approve',
        '-input=false');
    like($r->{out}, qr/0 added, 0 changed, 1 destroyed/,
        'a node less is one machine less');

    my $text = terraform($provider, 'output', '-raw', 'inventory')->{out};
    write_file("$dir/inventory.yml", $text);

    SKIP: {
        skip 'no ansible-inventory here', 1 if !tool('ansible-inventory');

        my $list = command('ansible-inventory', '-i', "$dir/inventory.yml",
            '--list')->{out};
        my $json = eval { JSON::PP::decode_json($list) } // diag $list;

        is_deeply([ $json->{monitor}{hosts}, $json->{nodes}{hosts},
            $json->{_meta}{hostvars}{'node-2'}{labels} ],
            [ ['monitor-1'], ['node-2'], { env => 'prod' } ],
            'the inventory is Ansible\'s');
    }
}


# all in one command; the machines are containers

SKIP: {
    skip 'no ansible-playbook here', 5 if !tool('ansible-playbook');

    my %machine = map { $_ => Machine->boot } qw(monitor node-2);
    my $hetzner = "$copy/terraform/hetzner";
    my $controller = Machine::controller();

    chomp(my $key = read_file("$controller/key.pub"));
    write_file("$hetzner/terraform.tfvars",
        "nodes = { node-2 = {} }\nname = \"two\"\n"
        . "ssh_public_keys = [\"$key\"]\n");
    unlink "$hetzner/terraform.tfstate";
    symlink $program, "$dir/terraform" or die "$dir/terraform: $!\n";
    write_file("$dir/ssh", "#!/bin/sh\nexec /usr/bin/ssh "
        . "-i $controller/key \"\$@\"\n", 0755);

    my @command = ('env', "PATH=$dir:$ENV{PATH}", "HCLOUD_TOKEN=$secret",
        "HOME=$controller", "ANSIBLE_NOCOLOR=1", 'LC_ALL=C.UTF-8',
        'MOCK_ADDRESSES=' . join(' ', map { "two-$_=" . $machine{$_}->address }
            keys %machine), "$copy/run.sh", '--yes', 'hetzner');
    my $r = command({ seconds => 400 }, @command);

    is($r->{status}, 0, 'run.sh does all in one command')
        or diag substr($r->{out}, -4000);
    ok(await(30, sub {
        $machine{monitor}->exec('curl', '-s', '10.87.0.2:9100/metrics')->{out}
            =~ /^node_load1 /m;
    }), 'and the monitor reaches the node\'s exporter');

    $r = command({ seconds => 400 }, @command);
    like($r->{out}, qr/^node-2 .* changed=0 .* failed=0 /m,
        'run again, it changes nothing');

    $r = command({ seconds => 60 }, @command[0 .. $#command - 2], '--destroy',
        '--yes', 'hetzner');
    like($r->{out}, qr/Destroy complete!/, 'and removes the machines');
    ok(!-e "$hetzner/inventory.yml", 'with their inventory');
}

done_testing();
