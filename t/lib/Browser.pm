package Browser;

# A headless Chromium with one page, driven over a pair of pipes: goes to
# pages, clicks, types, looks at the DOM, and remembers what the console said.

use warnings;
use strict;

use File::Path qw(remove_tree);
use File::Temp;
use JSON::PP;
use MIME::Base64 qw(decode_base64);
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);

use Running;


# what keeps it to itself: nothing is asked for but what a test names

my @flags = qw(--headless --no-sandbox --remote-debugging-pipe --disable-gpu
    --disable-dev-shm-usage --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-extensions
    --disable-default-apps --hide-scrollbars --mute-audio);

push @flags, '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1';


sub new {
    my ($class) = @_;

    my $dir = File::Temp::tempdir('mp-browser-XXXXXX', TMPDIR => 1);
    local $^F = 255;   # the pipes stay open through exec

    pipe my $to_read, my $to_write or die "pipe: $!\n";
    pipe my $from_read, my $from_write or die "pipe: $!\n";

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        setpgrp 0, 0;
        close $to_write;
        close $from_read;

        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$dir/stdout";
        open STDERR, '>', "$dir/stderr";

        # both are moved away first, as one may be where the other goes

        POSIX::dup2(fileno $to_read, 103);
        POSIX::dup2(fileno $from_write, 104);
        POSIX::dup2(103, 3);
        POSIX::dup2(104, 4);
        POSIX::close($_) for 5 .. 104;

        $ENV{HOME} = $dir;
        exec 'chromium', @flags, "--user-data-dir=$dir/profile",
            'about:blank' or POSIX::_exit(127);
    }

    my $self = bless { pid => $pid, dir => $dir, to => $to_write,
        from => $from_read, id => 0, text => '', events => [],
        problems => [] }, $class;
    Running::add($self);

    my $target = $self->call('Target.createTarget', url => 'about:blank');
    $self->{session} = $self->call('Target.attachToTarget',
        targetId => $target->{targetId}, flatten => JSON::PP::true
        )->{sessionId};

    $self->call("$_.enable") for qw(Page Runtime Log Network Audits);
    $self->call('Emulation.setFocusEmulationEnabled',
        enabled => JSON::PP::true);

    return $self;
}


# One command and its result. Events that come meanwhile are kept.

sub call {
    my ($self, $method, %params) = @_;

    my $id = ++$self->{id};
    my $command = encode_json({ id => $id, method => $method,
        params => \%params,
        ($self->{session} ? (sessionId => $self->{session}) : ()) });

    local $SIG{PIPE} = 'IGNORE';
    syswrite($self->{to}, "$command\0") or die "browser has gone: $!\n";

    while (1) {
        my $message = $self->message(120) or die "no answer to $method\n";

        next if ($message->{id} // 0) != $id;

        die "$method: $message->{error}{message}\n" if $message->{error};
        return $message->{result};
    }
}


# The next message within so many seconds.

sub message {
    my ($self, $seconds) = @_;

    my $end = time + $seconds;

    my $length;

    while (($length = index $self->{text}, "\0") < 0) {
        my $left = $end - time;
        my $read = '';
        vec($read, fileno $self->{from}, 1) = 1;

        return if $left <= 0 || !select $read, undef, undef, $left;

        sysread($self->{from}, $self->{text}, 1 << 20, length $self->{text})
            or die "browser has ended: " . $self->said . "\n";
    }

    my $message = decode_json(substr $self->{text}, 0, $length);
    substr $self->{text}, 0, $length + 1, '';
    $self->event($message) if $message->{method};

    return $message;
}


sub event {
    my ($self, $message) = @_;

    my ($method, $params) = @$message{qw(method params)};
    my $problem;

    if ($method eq 'Runtime.consoleAPICalled') {
        $problem = join ' ', map { $_->{value} // $_->{description} // '' }
            @{ $params->{args} };

    } elsif ($method eq 'Runtime.exceptionThrown') {
        $problem = $params->{exceptionDetails}{text};

    } elsif ($method eq 'Log.entryAdded') {
        $problem = $params->{entry}{text}
            if $params->{entry}{level} =~ /error|warning/;

    } elsif ($method eq 'Audits.issueAdded') {
        $problem = encode_json($params->{issue})
            if $params->{issue}{code} =~ /ContentSecurity/;

    } elsif ($method eq 'Network.requestWillBeSent') {
        push @{ $self->{requests} }, $params->{request}{url};
    }

    push @{ $self->{problems} }, "$method: $problem" if defined $problem;
    push @{ $self->{events} }, $method;
}


# What the console, the page's own script and its policy complained of.

sub problems { @{ $_[0]{problems} } }

# Forgets them, where a test has provoked them.

sub forget { $_[0]{problems} = [] }

# Every URL that was asked for.

sub requests { @{ $_[0]{requests} // [] } }


sub said {
    my ($self) = @_;

    open my $fh, '<', "$self->{dir}/stderr" or return '';
    my @lines = <$fh>;
    return join '', @lines[-5 .. -1] if @lines > 5;
    return join '', @lines;
}


# Runs what leads to another page, and waits until that has loaded.

sub loads {
    my ($self, $sub) = @_;

    $self->{events} = [];
    $sub->();

    my $end = time + 30;

    until (grep { $_ eq 'Page.loadEventFired' } @{ $self->{events} }) {
        time < $end or die "the page did not load\n";
        $self->message(1);
    }
}


sub visit {
    my ($self, $url) = @_;

    $self->loads(sub { $self->call('Page.navigate', url => $url) });
}


# The value of an expression in the page.

sub js {
    my ($self, $expression) = @_;

    my $r = $self->call('Runtime.evaluate', expression => $expression,
        returnByValue => JSON::PP::true, awaitPromise => JSON::PP::true);

    die "$expression: $r->{exceptionDetails}{exception}{description}\n"
        if $r->{exceptionDetails};

    return $r->{result}{value};
}


# Waits until an expression is true, and returns it; 15 s, or as given.

sub await {
    my ($self, $expression, $seconds) = @_;

    my $end = time + ($seconds // 15);

    while (1) {
        my $value = $self->js($expression);
        return $value if $value || time > $end;
        sleep 0.05;
    }
}


# Clicks with the mouse in the middle of the first element of a selector.

sub click {
    my ($self, $selector) = @_;

    my $at = $self->js("(() => {"
        . "const e = document.querySelector(" . quoted($selector) . ");"
        . "if (!e) return null;"
        . "e.scrollIntoView({ block: 'center' });"
        . "const r = e.getBoundingClientRect();"
        . "return [r.x + r.width / 2, r.y + r.height / 2]; })()")
        or die "nothing to click: $selector\n";

    for my $type (qw(mousePressed mouseReleased)) {
        $self->call('Input.dispatchMouseEvent', type => $type,
            x => $at->[0], y => $at->[1], button => 'left', clickCount => 1);
    }
}


# Types into what has the focus, a key at a time.

sub type {
    my ($self, $text) = @_;

    for my $key (split //, $text) {
        $self->call('Input.dispatchKeyEvent', type => 'keyDown', key => $key,
            text => $key);
        $self->call('Input.dispatchKeyEvent', type => 'keyUp', key => $key);
    }
}


sub press {
    my ($self, $key, $code) = @_;

    for my $type (qw(keyDown keyUp)) {
        $self->call('Input.dispatchKeyEvent', type => $type, key => $key,
            code => $key, windowsVirtualKeyCode => $code,
            ($key eq 'Enter' && $type eq 'keyDown' ? (text => "\r") : ()));
    }
}


# The window: width and height in pixels, dark or light.

sub window {
    my ($self, %o) = @_;

    $self->call('Emulation.setDeviceMetricsOverride', width => $o{width},
        height => $o{height}, deviceScaleFactor => $o{scale} // 1,
        mobile => $o{mobile} ? JSON::PP::true : JSON::PP::false);
    $self->call('Emulation.setEmulatedMedia', features => [ {
        name => 'prefers-color-scheme', value => $o{dark} ? 'dark' : 'light',
    } ]);
}


sub screenshot {
    my ($self, $file) = @_;

    my $r = $self->call('Page.captureScreenshot', format => 'png');

    open my $fh, '>:raw', $file or die "$file: $!\n";
    print $fh decode_base64($r->{data});
    close $fh or die "$file: $!\n";
}


# A text as a string of JavaScript.

sub quoted { return JSON::PP->new->ascii->allow_nonref->encode($_[0]) }


sub stop {
    my ($self) = @_;

    if ($self->{pid}) {
        kill 'TERM', $self->{pid};

        my $end = time + 5;
        sleep 0.02 until waitpid($self->{pid}, WNOHANG) || time > $end;

        kill 'KILL', -$self->{pid};
        waitpid $self->{pid}, 0;
        delete $self->{pid};
    }

    remove_tree($self->{dir});
    Running::remove($self);
}


1;
