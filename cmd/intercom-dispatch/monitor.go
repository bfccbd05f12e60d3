package main

import "context"

type monitorCommand struct {
	redisOptions `embed:""`
	adminOptions `embed:""`
}

func (c *monitorCommand) Run(ctx context.Context, p *program) error {
	log, err := p.log()
	if err != nil {
		return err
	}
	conn, err := c.connect(ctx, 0)
	if err != nil {
		return err
	}
	defer conn.close()
	serve, err := c.open(ctx, conn, c.Workspace, true, newRegistry(), log)
	if err != nil {
		return err
	}
	return serve(ctx)
}
