// The Go SDK's client in the scenario of test/e2e/clients/scenario.ts.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
)

const callback = "http://localhost:33418/callback"

type scenario struct {
	endpoint, control string
	http              *http.Client
	login             *auth.AuthorizationCodeHandler
	client            *mcp.Client
	session           *mcp.ClientSession
	progress          chan float64
}

func main() {
	log.SetFlags(0)
	s := scenario{endpoint: os.Args[1], http: trusting(os.Args[2]), control: os.Args[3], progress: make(chan float64, 10)}
	s.login = s.oauth()
	s.client = mcp.NewClient(&mcp.Implementation{Name: "Go", Version: "1"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
			s.progress <- r.Params.Progress
		},
	})

	s.begin("log-in")
	s.connect()
	say("log-in")

	s.begin("list")
	tools, err := s.session.ListTools(context.Background(), nil)
	must(err)
	names := []string{}
	for _, tool := range tools.Tools {
		names = append(names, tool.Name)
	}
	say("list", strings.Join(names, " "))

	s.begin("call")
	say("call", s.mustCall("test_simple_text"))
	s.begin("step-up")
	say("step-up", s.mustCall("test_tool_with_progress"))
	s.begin("stream")
	s.progress = make(chan float64, 10)
	s.mustCall("test_tool_with_progress")
	say("stream", fmt.Sprint(<-s.progress, <-s.progress, <-s.progress))

	for _, refusal := range strings.Split(os.Args[4], ",") {
		s.begin(refusal)
		outcome := s.refused(refusal)
		s.begin("after")
		say(refusal, outcome, s.goOn())
	}
	s.session.Close()
}

// refused makes the call that is to be refused, and tells how it ended.
func (s *scenario) refused(refusal string) string {
	tool, args := "test_simple_text", map[string]any{}
	switch refusal {
	case "denied", "403":
		tool, args = "test_sampling", map[string]any{"prompt": "p"}
	case "413":
		args = map[string]any{"padding": strings.Repeat("x", 100_000)}
	}
	_, err := s.call(tool, args)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "hangs"
	case err != nil:
		return strings.ReplaceAll(err.Error(), "\n", " ")
	}
	return "ok"
}

// goOn calls again, in a new session where the old one is over.
func (s *scenario) goOn() string {
	if _, err := s.call("test_simple_text", map[string]any{}); err == nil {
		return "same"
	}
	s.session.Close()
	s.connect()
	s.mustCall("test_simple_text")
	return "new"
}

func (s *scenario) connect() {
	transport := &mcp.StreamableClientTransport{Endpoint: s.endpoint, HTTPClient: s.http, OAuthHandler: s.login}
	session, err := s.client.Connect(context.Background(), transport, nil)
	must(err)
	s.session = session
}

func (s *scenario) call(tool string, args map[string]any) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	params := &mcp.CallToolParams{Name: tool, Arguments: args}
	params.SetProgressToken(tool)
	result, err := s.session.CallTool(ctx, params)
	if err != nil {
		return "", err
	}
	return result.Content[0].(*mcp.TextContent).Text, nil
}

func (s *scenario) mustCall(tool string) string {
	text, err := s.call(tool, map[string]any{})
	must(err)
	return text
}

// oauth registers the client by itself, and sends the person to the browser of the control server.
func (s *scenario) oauth() *auth.AuthorizationCodeHandler {
	handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		RedirectURL: callback,
		Client:      s.http,
		DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{
			Metadata: &oauthex.ClientRegistrationMetadata{
				ClientName:              "Go",
				RedirectURIs:            []string{callback},
				TokenEndpointAuthMethod: "none",
			},
		},
		AuthorizationCodeFetcher: func(_ context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			back, err := url.Parse(s.ask("/browser?url=" + url.QueryEscape(args.URL)))
			must(err)
			query := back.Query()
			return &auth.AuthorizationResult{Code: query.Get("code"), State: query.Get("state"), Iss: query.Get("iss")}, nil
		},
	})
	must(err)
	return handler
}

// begin announces a step.
func (s *scenario) begin(step string) { s.ask("/step/" + step) }

func (s *scenario) ask(path string) string {
	response, err := http.Get(s.control + path)
	must(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(err)
	if response.StatusCode != http.StatusOK {
		log.Fatalf("%s: %s", path, response.Status)
	}
	return string(body)
}

func trusting(caFile string) *http.Client {
	pem, err := os.ReadFile(caFile)
	must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
}

func say(fields ...string) { fmt.Println(strings.Join(fields, "\t")) }

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
