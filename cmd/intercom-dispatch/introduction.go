package main

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

const (
	introductionTimeout = 5 * time.Second
	// introductionInterval is how often what did not succeed, or what Redis may
	// have lost since, is tried again.
	introductionInterval = time.Minute
)

// introduction asks Intercom which app the token is of, and announces it to
// the webhook receivers. A token that does not work is no reason not to start:
// it may be mended while the worker runs.
type introduction struct {
	client    *intercom.Client
	redis     redis.UniversalClient
	workspace string
	log       *zap.Logger

	asked     bool   // Intercom has answered
	appID     string // empty if Intercom does not say
	announced bool
}

// first asks at the start, and logs whose token it is.
func (i *introduction) first(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, introductionTimeout)
	defer cancel()
	if err := i.ask(ctx); err != nil {
		if !errors.Is(err, context.Canceled) {
			i.log.Error("the Intercom token was not confirmed; messages will wait", zap.Error(err))
		}
		return
	}
	i.announce(ctx)
}

// run goes on with what first has begun until ctx ends. It returns nil.
func (i *introduction) run(ctx context.Context) error {
	every := time.NewTicker(introductionInterval)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		i.again(ctx)
	}
}

func (i *introduction) again(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, introductionTimeout)
	defer cancel()
	if !i.asked {
		if err := i.ask(ctx); err != nil {
			// That the workspace is on hold is said elsewhere.
			i.log.Debug("the Intercom token was not confirmed", zap.Error(err))
			return
		}
	}
	i.announce(ctx)
}

func (i *introduction) ask(ctx context.Context) error {
	me, _, err := i.client.Me(ctx)
	if err != nil {
		return err
	}
	i.asked, i.appID = true, me.App.IDCode
	i.log.Info("Intercom workspace", zap.String("app_id", me.App.IDCode), zap.String("app_name", me.App.Name),
		zap.String("app_region", me.App.Region), zap.String("admin_id", string(me.ID)))
	return nil
}

// announce leaves an app that was announced before to whoever has announced it
// since.
func (i *introduction) announce(ctx context.Context) {
	if i.appID == "" {
		return
	}
	var former string
	var err error
	if i.announced {
		err = replies.RestoreApp(ctx, i.redis, i.appID, i.workspace)
	} else {
		former, err = replies.AnnounceApp(ctx, i.redis, i.appID, i.workspace)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return
	case err != nil:
		i.log.Warn("webhook receivers were not told of the Intercom app", zap.String("app_id", i.appID), zap.Error(err))
		return
	case former != "":
		i.log.Warn("the Intercom app had another workspace: its notifications come to this one from now on. Are there workers for both?",
			zap.String("app_id", i.appID), zap.String("former_workspace", former), zap.String("workspace", i.workspace))
	}
	i.announced = true
}
