package Helm;

# The chart in deploy/kubernetes, and what helm makes of it and of values.
# MP_HELM is helm's path, unless it is where programs are.

use warnings;
use strict;

use Exporter 'import';
use File::Temp;
use FindBin;
use JSON::PP ();

use Container qw(command);

our @EXPORT_OK = qw(chart documents lint refused render rendered values);

# what the tests need said in words isn't in Perl's core, and comes with Ansible

my $convert = <<'END';
import json, sys, yaml
json.dump([d for d in yaml.safe_load_all(sys.stdin) if d], sys.stdout)
END


sub chart { "$FindBin::Bin/../deploy/kubernetes/monitoring-proxy" }


sub program { $ENV{MP_HELM} // 'helm' }


# Whether helm is there: else nothing here can be called.

sub there { command(program(), 'version')->{status} == 0 }


# The documents of a YAML text.

sub documents {
    my ($text) = @_;

    my $r = command({ input => $text }, 'python3', '-c', $convert);
    $r->{status} == 0 or die "no YAML: $r->{out}\n$text";

    return @{ JSON::PP::decode_json($r->{out}) };
}


# The values as they are without any of the user's.

sub values {
    open my $fh, '<', chart() . '/values.yaml' or die "values.yaml: $!\n";
    local $/;

    return (documents(scalar <$fh>))[0];
}


# helm's options for values, nested as in values.yaml. Needed ones are added,
# unless they are there.

sub options {
    my ($values, $directory) = @_;

    my $file = "$directory/values.json";
    open my $fh, '>', $file or die "$file: $!\n";
    print $fh JSON::PP->new->canonical->encode({
        hostKeysSecret => 'host-keys', %{ $values // {} } });
    close $fh or die "$file: $!\n";

    return ('-n', 'monitoring', '-f', $file);
}


sub helm {
    my ($command, $values, @options) = @_;

    my $directory = File::Temp->newdir;
    my @command = (program(), @$command,
        options($values, $directory), @options);
    my $r = command(@command);

    # the alerts are those of deploy/alerts, by a link, of which helm tells

    $r->{out} =~ s/^walk\.go:.* found symbolic link .*\n//mg;

    return $r;
}


sub template {
    my ($values, @options) = @_;

    return helm([ 'template', 'proxy', chart(), '--kube-version', '1.32.0' ],
        $values, @options);
}


# What is installed with these values: a text, or its objects as
# { "KIND NAME" => OBJECT }.

sub rendered {
    my $r = template(@_);
    $r->{status} == 0 or die "helm template: $r->{out}";

    return $r->{out};
}


sub render {
    return { map { ("$_->{kind} $_->{metadata}{name}" => $_) }
        documents(rendered(@_)) };
}


# What helm says of values that aren't taken; nothing if they are.

sub refused {
    my $r = template(@_);

    return $r->{status} == 0 ? '' : $r->{out};
}


# What helm finds wrong with the chart as such.

sub lint {
    my ($values) = @_;

    my $r = helm([ 'lint', '--strict', chart() ], $values);

    return $r->{status} == 0 ? '' : $r->{out};
}


1;
