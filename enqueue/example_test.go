package enqueue_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

// announce is the code in the README, which is kept the same.
func announce(ctx context.Context, client *enqueue.Client) (enqueue.Result, error) {
	return client.Enqueue(ctx, &intercom.Message{
		MessageType: intercom.InApp,
		Body:        "Your order is on its way.",
		From:        intercom.FromAdmin(394051),
		To:          intercom.ToUser("536e564f316c83104c000020"),
	}, enqueue.Key("order-1042"), enqueue.Metadata(map[string]string{"order": "1042"}))
}

// embedded returns a client on a Redis in this process, in place of the
// workers' Redis, and the function that ends both.
func embedded() (*enqueue.Client, func()) {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
	client, err := enqueue.New(rdb, enqueue.Config{})
	if err != nil {
		panic(err)
	}
	return client, func() {
		_ = rdb.Close() // The server goes with it.
		server.Close()
	}
}

// A key that the backend chose makes it safe to enqueue again.
func ExampleClient_Enqueue() {
	client, stop := embedded()
	defer stop()
	for range 2 {
		result, err := announce(context.Background(), client)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(result.Key, result.Status)
	}
	// Output:
	// order-1042 enqueued
	// order-1042 duplicate
}

func ExampleClient_Enqueue_errors() {
	client, stop := embedded()
	defer stop()
	message := &intercom.Message{
		MessageType: intercom.Email, Template: "plain", Body: "Thank you.",
		From: intercom.FromAdmin(394051), To: intercom.ToUser("536e564f316c83104c000020"),
	}
	_, err := client.Enqueue(context.Background(), message, enqueue.Key("receipt-7"))
	if v, ok := errors.AsType[*intercom.ValidationError](err); ok {
		fmt.Println("field:", v.Field)
	}

	message.Subject = "Your receipt"
	_, _ = client.Enqueue(context.Background(), message, enqueue.Key("receipt-7"))
	message.Subject = "Another receipt"
	_, err = client.Enqueue(context.Background(), message, enqueue.Key("receipt-7"))
	if c, ok := errors.AsType[*enqueue.ConflictError](err); ok {
		fmt.Println("the key has another message, which is", c.State)
	}
	// Output:
	// field: message.subject
	// the key has another message, which is queued
}

func ExampleClient_EnqueueBatch() {
	client, stop := embedded()
	defer stop()
	to := func(contact string) *intercom.Message {
		return &intercom.Message{
			MessageType: intercom.InApp, Body: "Welcome!",
			From: intercom.FromAdmin(394051), To: intercom.ToUser(contact),
		}
	}
	results, err := client.EnqueueBatch(context.Background(), []enqueue.Request{
		{Key: "welcome-ada", Message: to("ada"), Priority: enqueue.High},
		{Key: "welcome-nobody", Message: to("")},
		{Key: "welcome-grace", Message: to("grace"), IfUncertain: enqueue.Hold},
	})
	if failed, ok := errors.AsType[*enqueue.BatchError](err); ok {
		fmt.Println(failed.Failed, "of", failed.Total, "not enqueued")
	}
	for _, r := range results {
		fmt.Println(r.Key, r.Status, r.Err)
	}
	// Output:
	// 1 of 3 not enqueued
	// welcome-ada enqueued <nil>
	// welcome-nobody  message.to.id is required: Intercom's id of the contact
	// welcome-grace enqueued <nil>
}

func ExampleClient_Cancel() {
	client, stop := embedded()
	defer stop()
	ctx := context.Background()
	if _, err := announce(ctx, client); err != nil {
		fmt.Println(err)
		return
	}
	if err := client.Cancel(ctx, "order-1042"); err != nil {
		fmt.Println(err)
		return
	}
	record, err := client.Get(ctx, "order-1042")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(record.State, record.Metadata["order"])
	// Output: cancelled 1042
}

func ExampleParseLine() {
	request, err := enqueue.ParseLine([]byte(`{"key": "order-1042", "priority": "high", "message": {
		"message_type": "in_app", "body": "Your order is on its way.",
		"from": {"type": "admin", "id": 394051}, "to": {"type": "user", "id": "536e564f316c83104c000020"}}}`))
	fmt.Println(request.Key, request.Priority, err)

	_, err = enqueue.ParseLine([]byte(`{"key": "order-1043", "prio": "high"}`))
	fmt.Println(err)
	// Output:
	// order-1042 high <nil>
	// prio is not a field of a line; fields are key, message, at, expires_at, priority, metadata, contact_wait, if_uncertain, order_key, if_held
}
