package Query;

# What tests of the query proxy share: the configuration around a remote.

use warnings;
use strict;

use Exporter 'import';
use JSON::PP ();

our @EXPORT = qw(json_error query_http remote_location);


# A location for the remote NAME, and the one that asks again. Options: path
# ("/" if not given), url, remote (more parameters of "prom_token_remote"),
# more.

my $number = 0;

sub remote_location {
    my ($name, %o) = @_;

    my $path = $o{path} // '/';
    my $again = '@again' . $number++;
    my $more = $o{more} // '';
    my $retry = ($o{retry} // 1) ? "error_page 401 = $again;" : '';
    my $parameters = $o{remote} // '';
    my $common = <<"END";
        prom_token $name;
        prom_token_remote $o{url} $parameters;
        proxy_pass \$prom_proxy_scheme://prom_query\$prom_token_uri;
        $more
END

    return <<"END";
    location $path {
        $common
        error_page 400 /query_error;
        error_page 403 404 413 414 500 502 503 504 \@query_error;
        $retry
    }
    location $again {
        $common
        error_page 403 404 413 414 500 502 503 504 \@query_error;
    }
END
}


# What stands in http: a server at listen with these locations. Options: wait,
# body, http, server.

sub query_http {
    my ($listen, $locations, %o) = @_;

    my $wait = $o{wait} // '5s';
    my $body = $o{body} // '1m';
    $o{$_} //= '' for qw(http server);

    return <<"END";
prom_token_keeper unix:%%DIR%%/keeper.socket;
prom_token_wait $wait;
prom_token_body $body;
upstream prom_query { prom_proxy_peer; }
$o{http}
server {
    listen $listen;
    client_max_body_size 0;
    client_body_buffer_size 1m;
    proxy_request_buffering off;
    proxy_redirect off;
    proxy_pass_request_headers off;
    proxy_set_header Host \$prom_proxy_host;
    proxy_set_header Connection "";
    proxy_set_header Authorization \$prom_token_authorization;
    proxy_set_header X-Amz-Date \$prom_token_date;
    proxy_set_header X-Amz-Security-Token \$prom_token_session;
    proxy_set_header Accept \$http_accept;
    proxy_set_header Accept-Encoding \$http_accept_encoding;
    proxy_set_header Content-Type \$content_type;
    proxy_set_header Content-Encoding \$http_content_encoding;
    proxy_set_header User-Agent \$http_user_agent;
    proxy_set_header X-Prometheus-Remote-Read-Version
        \$http_x_prometheus_remote_read_version;
    proxy_set_header traceparent \$http_traceparent;
    proxy_ssl_server_name on;
    proxy_ssl_name \$prom_proxy_host;
    error_page 403 404 405 413 414 \@query_error;
    error_page 400 /query_error;
    $o{server}
    $locations
    location = /-/ready {
        prom_token_ready;
    }
    location \@query_error {
        internal;
        prom_token_error;
    }
    location = /query_error {
        internal;
        prom_token_error;
    }
}
END
}


# An answer that is an error of our own: "STATUS errorType: error".

sub json_error {
    my ($r) = @_;

    my $json = eval { JSON::PP::decode_json($r->{body}) };

    return "$r->{status} no JSON: $r->{body}" if !$json;
    return "$r->{status} " . ($r->{headers}{'content-type'} // 'no type')
        if ($r->{headers}{'content-type'} // '') ne 'application/json';
    return "$r->{status} $json->{status}" if $json->{status} ne 'error';
    return "$r->{status} $json->{errorType}: $json->{error}";
}


1;
