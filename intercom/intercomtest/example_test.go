package intercomtest_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

// welcome stands for the service under test: it sends a message when somebody
// signs up, and once more if Intercom was not available.
type welcome struct{ intercomURL, token string }

func (w welcome) signedUp(ctx context.Context, contactID string) error {
	body := fmt.Sprintf(`{"message_type":"in_app","body":"Welcome!","from":{"type":"admin","id":1},"to":{"type":"user","id":%q}}`, contactID)
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.intercomURL+"/messages", bytes.NewBufferString(body))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+w.token)
		req.Header.Set("Accept", "application/json")
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable {
			return nil
		}
	}
}

// The test of a service: it talks to the fake, and the fake's log says what
// came of it.
func Example() {
	ctx := context.Background()
	fake := intercomtest.New(intercomtest.Config{Token: "secret"})
	defer fake.Close()
	server := httptest.NewServer(fake)
	defer server.Close()
	fake.AddContact(intercomtest.Contact{ID: "6762f2391bb69f9f2193bc19", Name: "Jo"})
	fake.InjectFault(intercomtest.Fault{Nth: 1, Status: http.StatusServiceUnavailable})

	service := welcome{intercomURL: server.URL, token: "secret"}
	if err := service.signedUp(ctx, "6762f2391bb69f9f2193bc19"); err != nil {
		fmt.Println(err)
	}

	for _, r := range fake.Requests() {
		fmt.Println(r.Method, r.Path, r.Status)
	}
	for _, m := range fake.Created() {
		fmt.Println("created:", m.Body, m.Recipients.To)
	}
	reply, err := fake.Reply(ctx, fake.Created()[0].ID, "Thanks!")
	fmt.Println("answered by", reply.ContactID, err)

	// Output:
	// POST /messages 503
	// POST /messages 200
	// created: Welcome! [6762f2391bb69f9f2193bc19]
	// answered by 6762f2391bb69f9f2193bc19 <nil>
}
