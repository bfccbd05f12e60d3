package replies_test

import (
	"context"
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

// orders stands for a backend's own business.
type orders struct{ stop func() }

// answered stores partID in one transaction with what it does, and does nothing if
// that is there already.
func (o orders) answered(_ context.Context, number, partID, text string) error {
	fmt.Printf("order %s, part %s: %s\n", number, partID, text)
	o.stop()
	return nil
}

// consumeReplies is the code in the README, which is kept the same.
func consumeReplies(ctx context.Context, rdb redis.UniversalClient, o orders) error {
	return replies.Consume(ctx, replies.ConsumeConfig{Redis: rdb}, "orders", func(ctx context.Context, e replies.Event) error {
		return o.answered(ctx, e.Metadata["order"], e.PartID, e.Text)
	})
}

func ExampleConsume() {
	server, err := miniredis.Run() // In place of the workers' Redis.
	if err != nil {
		panic(err)
	}
	defer server.Close()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer rdb.Close()
	// As a worker publishes it.
	rdb.XAdd(context.Background(), &redis.XAddArgs{Stream: ledger.ReplyStreamKey("main"), Values: []string{
		"event", `{"version":1,"key":"order-1042","metadata":{"order":"1042"},"part_id":"7000001","text":"Thank you!"}`,
	}})

	ctx, stop := context.WithCancel(context.Background())
	// In a service, SIGTERM stops it. It ends when its handlers have.
	fmt.Println(consumeReplies(ctx, rdb, orders{stop: stop}))
	// Output:
	// order 1042, part 7000001: Thank you!
	// <nil>
}
