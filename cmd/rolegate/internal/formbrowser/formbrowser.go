package formbrowser

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// pageLimit bounds what is read of a page.
const pageLimit = 8 << 20

// Browser holds one page at a time. It is not safe for concurrent use.
type Browser struct {
	URL    *url.URL // of the page
	Status int
	Header http.Header
	Body   string
	Forms  []Form
	Hops   []string // every address of the last navigation

	client *http.Client
	stop   func(*url.URL) bool
}

// Form is a form of the page.
type Form struct {
	Action, Method string
	Fields         url.Values
	Text           string
}

// New returns a browser with an empty cookie jar. A nil transport is the
// default one.
func New(transport http.RoundTripper) (*Browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	b := &Browser{}
	b.client = &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		b.Hops = append(b.Hops, r.URL.String())
		if len(b.Hops) > 20 {
			return fmt.Errorf("formbrowser: more than 20 redirects")
		}
		if b.stop != nil && b.stop(r.URL) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b, nil
}

// StopAt makes redirects to matching addresses end a navigation: the last hop
// is the address, which is not fetched. Nil follows everything.
func (b *Browser) StopAt(match func(*url.URL) bool) { b.stop = match }

// Cookies returns the cookies that would be sent to the address.
func (b *Browser) Cookies(address string) []*http.Cookie {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	return b.client.Jar.Cookies(u)
}

// Get goes to an address.
func (b *Browser) Get(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("formbrowser: %w", err)
	}
	req.Header.Set("Sec-Fetch-Site", "none")
	return b.do(req)
}

// Post posts values to an address as a form of the present page would.
func (b *Browser) Post(ctx context.Context, address string, values url.Values) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(values.Encode()))
	if err != nil {
		return fmt.Errorf("formbrowser: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if b.URL != nil {
		req.Header.Set("Origin", b.URL.Scheme+"://"+b.URL.Host)
		site := "cross-site"
		if req.URL.Host == b.URL.Host {
			site = "same-origin"
		}
		req.Header.Set("Sec-Fetch-Site", site)
	}
	return b.do(req)
}

// Submit sends the first matching form with the values set over its own.
func (b *Browser) Submit(ctx context.Context, match func(Form) bool, set map[string]string) error {
	f, ok := b.Find(match)
	if !ok {
		return fmt.Errorf("formbrowser: no such form at %s (status %d, %d forms)", b.URL, b.Status, len(b.Forms))
	}
	for k, v := range set {
		f.Fields.Set(k, v)
	}
	target, err := b.URL.Parse(f.Action)
	if err != nil {
		return fmt.Errorf("formbrowser: form action: %w", err)
	}
	if f.Method == http.MethodPost {
		return b.Post(ctx, target.String(), f.Fields)
	}
	target.RawQuery = f.Fields.Encode()
	return b.Get(ctx, target.String())
}

// Find returns the first form that matches.
func (b *Browser) Find(match func(Form) bool) (Form, bool) {
	for _, f := range b.Forms {
		if match(f) {
			return f, true
		}
	}
	return Form{}, false
}

// Has matches a form by the name of one of its fields.
func Has(field string) func(Form) bool {
	return func(f Form) bool { return f.Fields.Has(field) }
}

func (b *Browser) do(req *http.Request) error {
	req.Header.Set("Accept", "text/html")
	b.Hops = []string{req.URL.String()}
	resp, err := b.client.Do(req)
	if err != nil {
		return fmt.Errorf("formbrowser: %w", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, pageLimit))
	if err != nil {
		return fmt.Errorf("formbrowser: %w", err)
	}
	b.URL, b.Status, b.Header, b.Body, b.Forms = resp.Request.URL, resp.StatusCode, resp.Header, string(raw), nil
	doc, err := html.Parse(strings.NewReader(b.Body))
	if err != nil {
		return fmt.Errorf("formbrowser: %w", err)
	}
	b.collect(doc, -1)
	return nil
}

// collect gathers forms; in is the index of the form n stands in, -1 for none.
func (b *Browser) collect(n *html.Node, in int) {
	if n.Type == html.ElementNode {
		name := attribute(n, "name")
		switch n.Data {
		case "form":
			b.Forms = append(b.Forms, Form{Action: attribute(n, "action"), Method: strings.ToUpper(attribute(n, "method")), Fields: url.Values{}})
			in = len(b.Forms) - 1
		case "input":
			if in >= 0 && name != "" && attribute(n, "type") != "submit" && attribute(n, "type") != "checkbox" {
				b.Forms[in].Fields.Set(name, attribute(n, "value"))
			}
		case "select", "textarea":
			if in >= 0 && name != "" {
				b.Forms[in].Fields.Set(name, selected(n))
			}
		}
	}
	if n.Type == html.TextNode && in >= 0 {
		b.Forms[in].Text += n.Data + " "
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		b.collect(c, in)
	}
}

// selected returns the value of the chosen option, or of the first.
func selected(n *html.Node) string {
	first, chosen, any := "", "", false
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.ElementNode && n.Data == "option" {
			if !any {
				first, any = attribute(n, "value"), true
			}
			for _, a := range n.Attr {
				if a.Key == "selected" {
					chosen = attribute(n, "value")
				}
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(n)
	if chosen != "" {
		return chosen
	}
	return first
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}
