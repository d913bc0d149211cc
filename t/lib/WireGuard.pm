package WireGuard;

# A directory of WireGuard's files, and monitoring-proxy-wireguard, which is
# that of MP_WIREGUARD, or built here; its enrolment is a process beside, with
# one that has each change in effect, as the image's services have.

use warnings;
use strict;

use Digest::SHA qw(sha256_hex);
use Exporter 'import';
use File::Temp;
use IO::Socket::UNIX;
use MIME::Base64;
use POSIX ();
use Time::HiRes qw(sleep time);

use Program qw(built write_to);
use Running;
use parent -norequire, 'Program';

our @EXPORT_OK = qw(await key program slurp spew);

my $program;

$SIG{INT} = $SIG{TERM} = sub { exit 1 };
$SIG{PIPE} = 'IGNORE';


sub program {
    return $program //= $ENV{MP_WIREGUARD} // built('wireguard');
}


sub slurp {
    my ($file) = @_;

    open my $fh, '<:raw', $file or return '';
    local $/;

    return <$fh> // '';
}


sub spew {
    my ($file, $text) = @_;

    open my $fh, '>:raw', $file or die "$file: $!\n";
    print $fh $text;
    close $fh or die "$file: $!\n";
}


sub await {
    my ($sub, $seconds) = @_;

    my $end = time + ($seconds // 20);

    while (1) {
        my $result = $sub->();
        return $result if $result || time > $end;
        sleep 0.01;
    }
}


# A public key of its own for each seed.

sub key {
    my ($seed) = @_;

    return encode_base64(pack('H*', sha256_hex($seed)), '');
}


# A directory with a configuration and a certificate.

sub new {
    my ($class) = @_;

    my $dir = File::Temp->newdir('mp-wireguard-XXXXXX', TMPDIR => 1);
    my $self = bless { tmp => $dir, dir => "$dir/wg", log => "$dir/log",
        socket => "$dir/socket", sync => "$dir/sync" }, $class;

    my ($status, undef, $told) = $self->tool('init', $self->{dir});
    die "init: $told" if $status;

    $self->certificate;

    return $self;
}


sub certificate {
    my ($self) = @_;

    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:secp384r1"
        . " -nodes -days 10 -subj /CN=x -keyout $self->{dir}/tls.key"
        . " -out $self->{dir}/tls.crt 2> $self->{tmp}/openssl") == 0
        or die 'openssl: ' . slurp("$self->{tmp}/openssl");
}


sub dir { $_[0]{dir} }
sub file { slurp("$_[0]{dir}/$_[1]") }

sub put {
    my ($self, $name, $text) = @_;

    spew("$self->{dir}/$name", $text);
}


# Runs the program: its status, stdout and stderr, in which DIR stands for the
# directory.

sub tool {
    my ($self, @args) = @_;

    return $self->says('', @args);
}


sub says {
    my ($self, $input, @args) = @_;

    my $tmp = File::Temp->newdir;
    spew("$tmp/in", $input);

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDIN, '<', "$tmp/in";
        open STDOUT, '>', "$tmp/out";
        open STDERR, '>', "$tmp/errors";
        exec program(), @args or POSIX::_exit(127);
    }

    waitpid $pid, 0;
    my $status = $? & 127 ? 'signal ' . ($? & 127) : $? >> 8;
    my $errors = slurp("$tmp/errors") =~ s/\Q$self->{dir}\E/DIR/gr;

    return ($status, slurp("$tmp/out"), $errors);
}


sub invite {
    my ($self, @args) = @_;

    return $self->tool('invite', '--host', 'proxy.example.com', $self->{dir},
        @args);
}


# The token of a new invitation, or of another key.

sub token {
    my ($self, $name, @args) = @_;

    my ($status, $url, $told) = $self->tool('invite', '--host', 'h',
        $self->{dir}, $name, @args);
    die "invite: $told" if $status;

    return $url =~ m{/([^/.]+)\.[^/.]+$} && $1;
}


sub rotation {
    my ($self, $name) = @_;

    my (undef, $url) = $self->tool('rotate', '--host', 'h', $self->{dir},
        $name);

    return $url =~ m{/([^/.]+)\.[^/.]+$} && $1;
}


# Starts the enrolment, and what has its changes in effect, unless that is to
# be done by hand.

sub serve {
    my ($self, @options) = @_;

    $self->run({}, program(), 'enrol', '--host', 'proxy.example.com', @options,
        $self->{dir}, $self->{socket}, $self->{sync});
    await(sub { IO::Socket::UNIX->new(Peer => $self->{socket}) })
        or die 'no socket: ' . $self->log;
}


sub syncing {
    my ($self) = @_;

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        my $before = '';

        while (getppid != 1) {
            my $now = sha256_hex($self->file('nodes'));
            write_to($self->{sync}, "$now\n") if $now ne $before;
            $before = $now;
            sleep 0.01;
        }

        POSIX::_exit(0);
    }

    my $syncer = bless { pid => $pid, log => '/dev/null' }, 'Program';
    Running::add($syncer);
}


# In effect is what the file has now.

sub sync {
    my ($self) = @_;

    write_to($self->{sync}, sha256_hex($self->file('nodes')) . "\n");
}


sub connect {
    my ($self) = @_;

    return IO::Socket::UNIX->new(Peer => $self->{socket})
        // die "connect: $!\n";
}


# Sends bytes as they are, and returns the status and the body.

sub send_raw {
    my ($self, $bytes) = @_;

    my $s = $self->connect;
    print $s $bytes;
    $s->flush;

    return answer($s);
}


sub answer {
    my ($s) = @_;

    local $/;
    my $all = <$s> // '';
    my ($status, $body) = $all =~ m{\AHTTP/1\.0 (\d+) .*?\r\n\r\n(.*)\z}s;

    return ($status // 'closed', $body // '');
}


sub request {
    my ($name, $token, $key) = @_;

    return post(qq({"name":"$name","token":"$token","public_key":"$key"}));
}


# A request with this body, and other headers than these.

sub post {
    my ($body, %headers) = @_;

    my %all = ('Host' => 'x', 'Content-Type' => 'application/json',
        'Content-Length' => length $body, 'X-Real-IP' => '192.0.2.1',
        %headers);

    return "POST /enrol HTTP/1.0\r\n"
        . join('', map { "$_: $all{$_}\r\n" } grep { defined $all{$_} }
            sort keys %all) . "\r\n$body";
}


sub enrol {
    my ($self, $name, $token, $key) = @_;

    return $self->send_raw(request($name, $token, $key));
}


sub logged {
    my ($self, $pattern, $seconds) = @_;

    return await(sub { $self->log =~ $pattern }, $seconds);
}


1;
