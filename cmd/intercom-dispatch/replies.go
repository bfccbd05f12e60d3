package main

import (
	"context"

	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

type repliesCommand struct {
	Tail      repliesTailCommand      `cmd:"" help:"Print reply events as they come, one JSON object a line."`
	Dead      repliesDeadCommand      `cmd:"" help:"List reply events that backends have given up, the latest first."`
	Redeliver repliesRedeliverCommand `cmd:"" help:"Deliver dead reply events to their groups once more. Exit status 4 if one is not known."`
	Drop      repliesDropCommand      `cmd:"" help:"Remove dead reply events. Exit status 4 if one is not known."`
}

type repliesTailCommand struct {
	redisOptions `embed:""`

	FromStart bool `name:"from-start" help:"Begin with the oldest event that is kept."`
	NoFollow  bool `name:"no-follow" help:"End with the newest event."`
}

func (c *repliesTailCommand) Run(ctx context.Context, p *program) error {
	conn, err := c.connect(ctx, 0)
	if err != nil {
		return err
	}
	defer conn.close()
	o := replies.TailOptions{FromStart: c.FromStart, NoFollow: c.NoFollow}
	return replies.Tail(ctx, conn.client, c.Workspace, o, func(e replies.Event) error {
		return encodeJSON(p.stdout, e)
	})
}
