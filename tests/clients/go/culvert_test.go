// Package clients plays IONOS' Go SDK, and with it the order of calls of ionosctl and of IONOS' Terraform provider, against the
// Culvert at IONOS_API_URL, whose API takes IONOS_TOKEN and has nothing yet. tests/edge/clients_go.rs starts one for each test.
package clients

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	ionos "github.com/ionos-cloud/sdk-go/v6"
)

const datacenter = "11111111-1111-4111-8111-111111111111"

// What a test asks.
type culvert struct {
	*ionos.APIClient
	*testing.T
	ctx context.Context
	// A port on which nobody listens.
	port string
}

func connect(t *testing.T) *culvert {
	configuration := ionos.NewConfigurationFromEnv()
	if os.Getenv(ionos.IonosApiUrlEnvVar) == "" {
		t.Skip("no IONOS_API_URL: make test-clients")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	t.Cleanup(cancel)
	return &culvert{ionos.NewAPIClient(configuration), t, ctx, os.Getenv("LISTENER_PORT")}
}

// A body as the SDK has it.
func from[T any](c *culvert, text string) T {
	c.Helper()
	var body T
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		c.Fatal(err)
	}
	return body
}

// What was answered, which is no error.
func ok[T any](c *culvert, body T, answer *ionos.APIResponse, err error) T {
	c.Helper()
	if err != nil {
		c.Fatalf("%v: %s", err, answer.Payload)
	}
	return body
}

// What a write made, once its request is done; so it is at the first look.
func done[T any](c *culvert, body T, answer *ionos.APIResponse, err error) T {
	c.Helper()
	c.isDone(answer, err)
	return body
}

func (c *culvert) isDone(answer *ionos.APIResponse, err error) {
	c.Helper()
	if err != nil {
		c.Fatalf("%v: %s", err, answer.Payload)
	}
	location, err := answer.SafeLocation()
	if err != nil || answer.StatusCode != http.StatusAccepted {
		c.Fatalf("%v: %v", answer.Status, err)
	}
	status, _, err := c.GetRequestStatus(c.ctx, location.Path)
	if err != nil || *status.Metadata.Status != ionos.RequestStatusDone {
		c.Fatalf("%v: %v", err, status)
	}
	if _, err := c.WaitForRequest(c.ctx, location.Path); err != nil {
		c.Fatal(err)
	}
}

// A call fails with this status, and says this, in what the SDK makes of it.
func (c *culvert) fails(answer *ionos.APIResponse, err error, status int, message string) {
	c.Helper()
	if err == nil || answer.StatusCode != status {
		c.Fatalf("%d was expected, not %v: %v", status, answer.Status, err)
	}
	model, decoded := err.(ionos.GenericOpenAPIError).Model().(ionos.Error)
	if !decoded || *model.HttpStatus != int32(status) || !strings.Contains(*(*model.Messages)[0].Message, message) {
		c.Fatalf("%q was expected, not %v: %s", message, err, answer.Payload)
	}
}

// An answer's status is this one.
func (c *culvert) status(answer *ionos.APIResponse, status int) {
	c.Helper()
	if answer.StatusCode != status {
		c.Fatalf("%d was expected, not %v: %s", status, answer.Status, answer.Payload)
	}
}

func (c *culvert) equal(got, expected any) {
	c.Helper()
	if !reflect.DeepEqual(got, expected) {
		c.Fatalf("\n%s was expected, not\n%s", text(expected), text(got))
	}
}

// What was sent is what comes back: every property has the value that it was given, and these, which are sets, in any order. Then
// a plan finds no difference.
func (c *culvert) comesBack(sent, got any, sets ...string) {
	c.Helper()
	asked, answered := asMap(c, sent), asMap(c, got)
	for name, value := range asked {
		if slices.Contains(sets, name) {
			sort(value)
			sort(answered[name])
		}
		if !isPart(value, answered[name]) {
			c.Fatalf("%s: %s was sent, and is %s", name, text(value), text(answered[name]))
		}
	}
}

// Whether all of it is there, with more in objects perhaps.
func isPart(sent, got any) bool {
	switch sent := sent.(type) {
	case map[string]any:
		got, _ := got.(map[string]any)
		for name, value := range sent {
			if !isPart(value, got[name]) {
				return false
			}
		}
		return got != nil
	case []any:
		got, _ := got.([]any)
		return slices.EqualFunc(sent, got, isPart)
	default:
		return reflect.DeepEqual(sent, got)
	}
}

func sort(set any) {
	list, _ := set.([]any)
	slices.SortFunc(list, func(one, other any) int { return strings.Compare(text(one), text(other)) })
}

func asMap(c *culvert, value any) map[string]any {
	return from[map[string]any](c, text(value))
}

func text(value any) string {
	written, _ := json.Marshal(value)
	return string(written)
}

// Asks with a body that no model of the SDK can have, or for a path that it does not know.
func (c *culvert) ask(method, path, body string) (int, map[string]any) {
	c.Helper()
	url := c.GetConfig().Servers[0].URL + path
	request, err := http.NewRequestWithContext(c.ctx, method, url, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+c.GetConfig().Token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		c.Fatal(err)
	}
	defer answer.Body.Close()
	whole, err := io.ReadAll(answer.Body)
	if err != nil {
		c.Fatal(err)
	}
	return answer.StatusCode, from[map[string]any](c, string(whole))
}
