package proxy

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/valyala/fasthttp/fasthttpproxy"
	"golang.org/x/net/http/httpproxy"
)

// dialer returns what connects to the upstream with the given base URL: directly, or through the proxy that proxyOf names
// for it, http or socks5. An http proxy is asked to CONNECT, whatever the upstream's scheme.
func dialer(base *url.URL, proxyOf func(*url.URL) (*url.URL, error), timeout time.Duration) (func(context.Context, string) (net.Conn, error), error) {
	var through *url.URL
	if proxyOf != nil {
		var err error
		if through, err = proxyOf(base); err != nil {
			return nil, fmt.Errorf("egress proxy for %s: its address is not a URL", base.Host) // which the error would quote, password and all
		}
	}
	if through == nil {
		direct := &net.Dialer{Timeout: timeout}
		return func(ctx context.Context, address string) (net.Conn, error) {
			return direct.DialContext(ctx, "tcp", address)
		}, nil
	}
	d := fasthttpproxy.Dialer{
		Config:        httpproxy.Config{HTTPProxy: through.String(), HTTPSProxy: through.String()},
		DialDualStack: true, Timeout: timeout, ConnectTimeout: timeout,
	}
	dial, err := d.GetDialFuncForTLS(false, base.Scheme == "https")
	if err != nil {
		return nil, fmt.Errorf("egress proxy for %s: scheme %q is not known: use http or socks5", base.Host, through.Scheme)
	}
	return func(_ context.Context, address string) (net.Conn, error) { return dial(address) }, nil
}
