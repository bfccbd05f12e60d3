package intercom_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

// standIn answers as Intercom does.
func standIn() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"type":"admin_message","id":"19","message_type":"inapp","body":"Your order is ready"}`)
	}))
}

func ExampleNew() {
	client, err := intercom.New(intercom.Config{
		Token:  intercom.StaticToken("the-access-token"),
		Region: "eu",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	_, err = intercom.New(intercom.Config{Token: intercom.StaticToken("the-access-token"), Region: "asia"})
	fmt.Println(err)
	// Output: intercom: Region "asia" must be us, eu or au
}

func ExampleClient_CreateMessage() {
	server := standIn() // in your program: Intercom, by Region
	defer server.Close()
	client, err := intercom.New(intercom.Config{
		Token:   intercom.StaticToken("the-access-token"),
		BaseURL: server.URL,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	created, _, err := client.CreateMessage(context.Background(), &intercom.Message{
		MessageType: intercom.InApp,
		Body:        "Your order is ready",
		From:        intercom.FromAdmin(394051),
		To:          intercom.ToUser("536e564f316c83104c000020"),
	})
	if lost, ok := errors.AsType[*intercom.TransportError](err); ok && lost.MaybeSent {
		fmt.Println("look whether the message was created before sending it again")
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("created message", created.ID)
	// Output: created message 19
}

func ExampleMessage_Validate() {
	m := &intercom.Message{
		MessageType: intercom.InApp,
		Body:        "Your order is ready",
		From:        intercom.FromAdmin(394051),
		To:          intercom.Recipients{{Type: "user"}},
	}
	fmt.Println(m.Validate())
	// Output: to.id is required: Intercom's id of the contact
}

func ExampleParseMessage() {
	_, err := intercom.ParseMessage([]byte(`{"to":[{"type":"user","id":"1"},{"type":"user","idd":"2"}]}`))
	fmt.Println(err)
	// Output: to[1].idd is not a field of a recipient; its fields are id, name, phone, type
}
