#!/usr/bin/perl

# t/01-fuzz.t: nothing that a targets file, a hosts file, a file of nodes, a
# certificate, a pushed response, a file of tokens or users, an allow-list, a
# scrape that a client is handed, a request for a tunnel or one that is signed,
# what a token endpoint answers, a file of remotes, a line of the keeper or the
# path of a query, a request to enrol, wg0.conf, the discovery's base, the list
# of a proxy, or that of EndpointSlices and its events may hold upsets what
# reads it
#
# MP_FUZZ_SECONDS is how long it tries each for, 8 if not set. What it finds is
# printed in base64: decode that into a file, and run the fuzzer on it.

use warnings;
use strict;

use File::Temp;
use FindBin;
use MIME::Base64;
use Test::More;

my $fuzz = "$FindBin::Bin/fuzz";
my $grammar = "$FindBin::Bin/../ngx_prom_proxy_module";
my $discovery = "$FindBin::Bin/../discovery";
my $client = "$FindBin::Bin/../client";
my $common = "$FindBin::Bin/../common";
my $token = "$FindBin::Bin/../token";
my $wireguard = "$FindBin::Bin/../wireguard";
my $seconds = $ENV{MP_FUZZ_SECONDS} // 8;
my $dir = File::Temp->newdir;

plan skip_all => 'clang is not installed'
    if !grep { -x "$_/clang" } split /:/, $ENV{PATH};

plan tests => 60;


# Runs a command; what it says is printed only if it fails.

sub succeeds {
    my ($promise, @command) = @_;

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDOUT, '>', "$dir/out" or die "out: $!\n";
        open STDERR, '>&', \*STDOUT or die "stderr: $!\n";
        exec { $command[0] } @command or die "$command[0]: $!\n";
    }

    waitpid $pid, 0;
    my $ok = ok($? == 0, $promise);

    if (!$ok) {
        my @lines = split /\n/, slurp("$dir/out");
        diag(join "\n", @lines > 60 ? @lines[-60 .. -1] : @lines);
        diag("$_:\n" . encode_base64(slurp($_))) for glob "$dir/found-*";
    }

    return $ok;
}


sub slurp {
    my ($file) = @_;

    open my $fh, '<:raw', $file or die "$file: $!\n";
    local $/;

    return <$fh> // '';
}


sub fuzzes {
    my ($what, $corpus, @sources) = @_;

    mkdir "$dir/new-$what" or die "new: $!\n";

    succeeds("$what: the fuzzer is built", '/usr/bin/env', 'clang',
        qw(-std=c17 -g -O1 -Wall -Wextra -Werror),
        '-fsanitize=fuzzer,address,undefined', '-fno-sanitize-recover=all',
        "-I$grammar", "-I$FindBin::Bin/../hosts", "-I$common", "-I$client",
        "-I$token", "-I$FindBin::Bin/unit",
        "$fuzz/${what}_fuzz.c", @sources, '-o', "$dir/${what}_fuzz")
        or skip 'no fuzzer', 2;

    my @fuzzer = ("$dir/${what}_fuzz", "-artifact_prefix=$dir/found-",
        "-dict=$fuzz/$what.dict", '-timeout=5');

    succeeds("$what: each file of the corpus", @fuzzer, '-runs=0',
        "$fuzz/$corpus");
    skip 'MP_FUZZ_SECONDS is 0', 1 if !$seconds;

    succeeds("$what: $seconds s of anything", @fuzzer, '-max_len=8192',
        "-max_total_time=$seconds", "$dir/new-$what", "$fuzz/$corpus");
}


my @targets = glob "$grammar/ngx_prom_targets*.c";
my @hosts = glob "$grammar/ngx_prom_hosts*.c";
my @nodes = glob "$grammar/ngx_prom_nodes*.c";

SKIP: {
    fuzzes('targets', 'corpus', @targets);
}

SKIP: {
    fuzzes('hosts', 'corpus-hosts', @targets, @hosts);
}

SKIP: {
    fuzzes('nodes', 'corpus-nodes', @targets, @hosts, @nodes);
}

SKIP: {
    fuzzes('certificates', 'corpus-certificates',
        "$grammar/ngx_prom_hosts_key.c",
        "$FindBin::Bin/../hosts/certificate.c");
}

SKIP: {
    fuzzes('answer', 'corpus-answer', "$grammar/ngx_prom_poll_answer.c");
}

SKIP: {
    fuzzes('tokens', 'corpus-tokens', @targets, "$grammar/ngx_prom_tokens.c");
}

SKIP: {
    fuzzes('users', 'corpus-users', @targets, "$grammar/ngx_prom_users.c");
}

SKIP: {
    fuzzes('rules', 'corpus-rules', @targets,
        glob "$grammar/ngx_prom_rules*.c");
}

SKIP: {
    fuzzes('request', 'corpus-request',
        "$common/str.c", map { "$client/$_.c" } qw(headers request rules));
}

SKIP: {
    fuzzes('connect', 'corpus-connect', "$grammar/ngx_prom_connect.c");
}

SKIP: {
    fuzzes('sigv4', 'corpus-sigv4', "$grammar/ngx_prom_sigv4.c", '-lcrypto');
}

SKIP: {
    fuzzes('token', 'corpus-token', '-D_GNU_SOURCE', "$common/str.c",
        (map { "$token/$_.c" } qw(answer wipe)), '-ljansson');
}

SKIP: {
    fuzzes('remotes', 'corpus-remotes', '-D_GNU_SOURCE',
        "-I$FindBin::Bin/../targets", @targets, "$common/str.c",
        "$FindBin::Bin/../targets/text.c",
        map { "$token/$_.c" } qw(remote remotes settings value));
}

SKIP: {
    fuzzes('keeper', 'corpus-keeper', "$grammar/ngx_prom_token_line.c");
}

SKIP: {
    fuzzes('api', 'corpus-api', "$grammar/ngx_prom_token_api.c");
}

SKIP: {
    fuzzes('enrol', 'corpus-enrol', '-D_GNU_SOURCE', "-I$wireguard", @targets,
        @hosts, @nodes, "$common/str.c",
        (map { "$wireguard/$_.c" } qw(enrol_request key)), '-ljansson',
        '-lcrypto');
}

SKIP: {
    fuzzes('conf', 'corpus-conf', '-D_GNU_SOURCE', "-I$wireguard",
        "-I$FindBin::Bin/../targets", @targets, @hosts, @nodes,
        "$FindBin::Bin/../targets/text.c",
        (map { "$wireguard/$_.c" } qw(conf conf_value key)), '-lcrypto');
}

SKIP: {
    fuzzes('base', 'corpus-base', '-D_GNU_SOURCE', "-I$discovery",
        "$common/str.c", (map { "$discovery/$_.c" } qw(base base_scan config
        path)), '-lyaml');
}

SKIP: {
    fuzzes('lists', 'corpus-lists', '-D_GNU_SOURCE', "-I$discovery",
        "$common/str.c", (map { "$discovery/$_.c" } qw(choose list reader)),
        '-ljansson');
}

SKIP: {
    fuzzes('slices', 'corpus-slices', '-D_GNU_SOURCE', "-I$discovery",
        "$common/str.c", (map { "$discovery/$_.c" } qw(places slice slices)),
        '-ljansson');
}
