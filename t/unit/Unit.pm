package Unit;

# Builds what the unit tests of the grammar run, and runs it.

use warnings;
use strict;

use Exporter 'import';
use File::Temp;
use FindBin;

our @EXPORT = qw(answer_dumper base_dumper cases check checkme_dumper
    connect_dumper dns_runner dumper hosts_dumper hosts_tool kubernetes_runner
    lists_dumper nodes_dumper query_tool rules_dumper run sigv4_dumper slurp
    spew tokens_dumper tool users_dumper workdir);

my $root = "$FindBin::Bin/..";
my $grammar = "$root/ngx_prom_proxy_module";
my $dir = File::Temp->newdir;


sub workdir {
    return "$dir";
}


# Runs a command with text as its input and returns its exit status, stdout
# and stderr.

sub run {
    my ($input, @command) = @_;

    spew("$dir/stdin", $input);

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDIN, '<', "$dir/stdin" or die "stdin: $!\n";
        open STDOUT, '>', "$dir/stdout" or die "stdout: $!\n";
        open STDERR, '>', "$dir/stderr" or die "stderr: $!\n";
        exec { $command[0] } @command or die "$command[0]: $!\n";
    }

    waitpid $pid, 0;
    my $status = $? & 127 ? 'signal ' . ($? & 127) : $? >> 8;

    return ($status, slurp("$dir/stdout"), slurp("$dir/stderr"));
}


# Reads cases: returns a list of [title, text, what is told].

sub cases {
    my ($fh) = @_;

    binmode $fh;
    local $/;
    my @cases;

    for (split /^=== /m, <$fh>) {
        my ($title, $text, $told) = /\A([^\n]+)\n(.*?)^---\n(.*)\z/ms
            or next;

        $text =~ s/\n?<EOF>\n\z//;
        $text =~ s/<([0-9a-f]{2})>/chr hex $1/ge;

        push @cases, [$title, $text, $told];
    }

    return @cases;
}


# Runs "TOOL check" on a file with this text; FILE: is taken off what it says.

sub check {
    my ($tool, $text) = @_;

    spew("$dir/targets", $text);
    my ($status, $out, $errors) = run('', $tool, 'check', "$dir/targets");
    $errors =~ s/^\Q$dir\E\/targets:[ ]?//gm;

    return ($status, $out, $errors);
}


# The program monitoring-proxy-targets, that of MP_TARGETS_TOOL if set.

sub tool {
    return $ENV{MP_TARGETS_TOOL} if $ENV{MP_TARGETS_TOOL};

    build('tool', glob("$root/targets/*.c"));
    return "$dir/tool";
}


# What parses a text and prints what is in it, under ASan and UBSan.

sub dumper {
    return build_dump('targets_dump');
}

sub hosts_dumper {
    return build_dump('hosts_dump', glob("$grammar/ngx_prom_hosts*.c"));
}

sub nodes_dumper {
    return build_dump('nodes_dump', glob("$grammar/ngx_prom_hosts*.c"),
        glob("$grammar/ngx_prom_nodes*.c"));
}

sub tokens_dumper {
    return build_dump('tokens_dump', "$grammar/ngx_prom_tokens.c");
}

sub answer_dumper {
    return build_dump('answer_dump', "$grammar/ngx_prom_poll_answer.c");
}

sub connect_dumper {
    return build_dump('connect_dump', "$grammar/ngx_prom_connect.c");
}

sub rules_dumper {
    return build_dump('rules_dump', glob("$grammar/ngx_prom_rules*.c"));
}

sub users_dumper {
    return build_dump('users_dump', "$grammar/ngx_prom_users.c");
}

sub checkme_dumper {
    return build_dump('checkme_dump', "$grammar/ngx_prom_checkme.c",
        '-lcrypto');
}

sub sigv4_dumper {
    return build_dump('sigv4_dump', "$grammar/ngx_prom_sigv4.c", '-lcrypto');
}

sub base_dumper {
    build('base_dump', '-fsanitize=address,undefined',
        '-fno-sanitize-recover=all', '-D_GNU_SOURCE', "-I$root/common",
        "-I$root/discovery", "$root/t/unit/base_dump.c", "$root/common/str.c",
        (map { "$root/discovery/$_.c" } qw(base base_scan config path)),
        '-lyaml');
    return "$dir/base_dump";
}

sub lists_dumper {
    build('lists_dump', '-fsanitize=address,undefined',
        '-fno-sanitize-recover=all', '-D_GNU_SOURCE', "-I$root/common",
        "-I$root/discovery", "$root/t/unit/lists_dump.c",
        "$root/common/str.c",
        (map { "$root/discovery/$_.c" } qw(choose list reader)), '-ljansson');
    return "$dir/lists_dump";
}

# What monitoring-proxy-token does without libcurl.

sub query_tool {
    build('query_tool', '-fsanitize=address,undefined',
        '-fno-sanitize-recover=all', '-D_GNU_SOURCE', "-I$root/common",
        "-I$root/targets", "-I$root/token", "$root/t/unit/query_tool.c",
        "$root/common/str.c", "$root/targets/text.c",
        map { "$root/token/$_.c" } qw(conf environment prepare remote
            remotes run settings value));
    return "$dir/query_tool";
}

# Looks up names as the discovery does; another resolv.conf is the linker's
# work.

sub dns_runner {
    build('dns_run', '-fsanitize=address,undefined',
        '-fno-sanitize-recover=all', '-D_GNU_SOURCE', "-I$root/common",
        "-I$root/discovery", '-Wl,--wrap=ares_init_options',
        map({ "$root/t/unit/$_.c" } qw(dns_run places_run)),
        map({ "$root/discovery/$_.c" } qw(dns places resolver)),
        map({ "$root/common/$_.c" } qw(exposition log loop str)), '-lcares',
        '-lcurl');
    return "$dir/dns_run";
}

# Watches EndpointSlices as the discovery does.

sub kubernetes_runner {
    build('kubernetes_run', '-fsanitize=address,undefined',
        '-fno-sanitize-recover=all', '-D_GNU_SOURCE', "-I$root/common",
        "-I$root/discovery",
        map({ "$root/t/unit/$_.c" } qw(kubernetes_run places_run)),
        map({ "$root/discovery/$_.c" } qw(api found kubernetes places pod slice
            slices)),
        map({ "$root/common/$_.c" } qw(exposition log loop secret str
            transfer)), '-lcurl', '-ljansson');
    return "$dir/kubernetes_run";
}

sub build_dump {
    my ($name, @sources) = @_;

    build($name, '-fsanitize=address,undefined', '-fno-sanitize-recover=all',
        "$root/t/unit/$name.c", "$root/t/unit/dump.c", @sources);
    return "$dir/$name";
}


# The program monitoring-proxy-hosts, that of MP_HOSTS_TOOL if set.

sub hosts_tool {
    return $ENV{MP_HOSTS_TOOL} if $ENV{MP_HOSTS_TOOL};

    build('hosts', "-I$root/common", "-I$root/targets",
        "-I$root/landlock", glob("$root/hosts/*.c"), "$root/targets/file.c",
        "$root/targets/text.c", "$root/landlock/ruleset.c",
        "$root/common/raw.c", "$root/common/store.c",
        glob("$grammar/ngx_prom_hosts*.c"), '-lcrypto');
    return "$dir/hosts";
}


sub build {
    my ($out, @args) = @_;

    my ($status, undef, $errors) = run('', '/usr/bin/env', $ENV{CC} // 'cc',
        qw(-std=c17 -g -O1 -Wall -Wextra -Werror), "-I$grammar",
        @args, glob("$grammar/ngx_prom_targets*.c"), '-o', "$dir/$out");

    die "cannot build $out:\n$errors" if $status;
}


sub slurp {
    my ($file) = @_;

    open my $fh, '<:raw', $file or die "$file: $!\n";
    local $/;

    return <$fh> // '';
}


sub spew {
    my ($file, $text) = @_;

    open my $fh, '>:raw', $file or die "$file: $!\n";
    print $fh $text;
    close $fh or die "$file: $!\n";
}

1;
