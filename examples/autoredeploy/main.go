// Autoredeploy redeploys services when their images change: it asks the registry
// for the digest behind a service's tag, and if that is not the one that runs,
// rolls it out, waits until it really runs, and puts the service back if it does
// not.
//
//	go run ./examples/autoredeploy -once -dry-run
//	go run ./examples/autoredeploy -every 5m -registry-auth
//
// It touches no service but those with the label autoredeploy=true. An image
// without a tag that could move, one named by its digest alone, is left alone; so
// are jobs, which would run again. A service whose image is not pinned is given the
// digest of its tag at the first look, which restarts its tasks even if they run
// just that: nobody can tell.
//
// An image that failed is not tried again until another one has been rolled out: the
// service keeps its digest in the label autoredeploy.failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"time"

	"github.com/swarm-go/swarm"
)

const (
	labelWanted = "autoredeploy"
	labelFailed = "autoredeploy.failed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Stdout, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "autoredeploy:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	r := &redeployer{log: slog.New(slog.NewTextHandler(out, nil))}
	flags := flag.NewFlagSet("autoredeploy", flag.ContinueOnError)
	host := flags.String("host", "", "the engine, a swarm manager (default: as the docker command finds it)")
	auth := flags.Bool("registry-auth", false, "send the credentials that \"docker login\" has stored; the swarm keeps them")
	once := flags.Bool("once", false, "look once, and end")
	flags.DurationVar(&r.every, "every", 5*time.Minute, "pause between two looks, a fifth more or less by chance")
	flags.DurationVar(&r.patience, "patience", 10*time.Minute, "time for a rollout, and again for putting it back")
	flags.BoolVar(&r.dryRun, "dry-run", false, "only say what would be done")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if r.every <= 0 || r.patience <= 0 {
		return errors.New("-every and -patience must be positive")
	}
	var opts []swarm.Option
	if *host != "" {
		opts = append(opts, swarm.WithHost(*host))
	}
	if *auth {
		opts = append(opts, swarm.WithRegistryAuth(swarm.DockerConfigAuth()))
	}
	client, err := swarm.New(opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	r.client = client
	if *once {
		return r.look(ctx)
	}
	return r.watch(ctx)
}

// redeployer looks after the services of one swarm.
type redeployer struct {
	client   *swarm.Client
	log      *slog.Logger
	every    time.Duration
	patience time.Duration
	dryRun   bool
}

// watch looks again and again until ctx ends. What fails is tried again next time.
func (r *redeployer) watch(ctx context.Context) error {
	for {
		if err := r.look(ctx); err != nil {
			r.log.Error("look failed", "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(jittered(r.every)):
		}
	}
}

// jittered is d, a fifth more or less: many programs started together look at once
// the first time, and then some sooner and some later.
func jittered(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5+1)
}

// look looks at every service once. One that fails does not keep the others from
// being looked at.
func (r *redeployer) look(ctx context.Context) error {
	services, err := r.client.Services.List(ctx, &swarm.ServiceListOptions{Labels: map[string]string{labelWanted: "true"},
		Modes: []swarm.ModeKind{swarm.ModeReplicated, swarm.ModeGlobal}})
	if err != nil {
		return err
	}
	var failed []error
	for _, service := range services {
		if err := r.lookAt(ctx, &service); err != nil {
			failed = append(failed, fmt.Errorf("service %s: %w", service.Spec.Name, err))
		}
	}
	return errors.Join(failed...)
}

// lookAt compares what a service runs with what its registry has, and redeploys it.
func (r *redeployer) lookAt(ctx context.Context, service *swarm.Service) error {
	log := r.log.With("service", service.Spec.Name)
	image := service.Spec.TaskTemplate.ContainerSpec.Image
	runs, err := swarm.ParseImageReference(image)
	if err != nil {
		return err
	}
	if runs.Tag == "" && runs.Digest != "" {
		return nil // nothing that could move
	}
	tag := runs
	tag.Digest = ""
	found, err := r.client.System.ResolveImage(ctx, tag.String(), nil)
	if err != nil {
		return err
	}
	switch found.Digest {
	case runs.Digest:
		return nil
	case service.Spec.Labels[labelFailed]:
		log.Info("still the image that failed", "digest", found.Digest)
		return nil
	}
	if status := service.UpdateStatus; status != nil && (status.State == swarm.UpdateInProgress || status.State == swarm.RollbackInProgress) {
		log.Info("is being changed, left alone")
		return nil
	}
	log.Info("image has changed", "image", tag, "from", runs.Digest, "to", found.Digest, "dry run", r.dryRun)
	if r.dryRun {
		return nil
	}
	return r.redeploy(ctx, log, service.ID, image, found)
}

// redeploy rolls out an image, and puts the service back if that fails.
func (r *redeployer) redeploy(ctx context.Context, log *slog.Logger, id, image string, found *swarm.ResolvedImage) error {
	change, before, err := r.setImage(ctx, id, image, found)
	if err == nil {
		err = r.waitFor(ctx, change, found)
	}
	switch {
	case err == nil:
		log.Info("redeployed", "image", found.Reference)
		return nil
	case errors.Is(err, errElsewhere), errors.Is(err, swarm.ErrRemoved):
		log.Info("left alone", "err", err)
		return nil
	case before == nil:
		return err // nothing was changed
	}
	log.Error("redeploying failed, putting it back", "err", err)
	return errors.Join(err, r.putBack(ctx, id, before, found))
}

// setImage gives a service the image, and returns what it was before, nil if it was
// not changed.
func (r *redeployer) setImage(ctx context.Context, id, image string, found *swarm.ResolvedImage) (*swarm.ServiceChange, *swarm.ServiceSpec, error) {
	var before *swarm.ServiceSpec
	change, err := r.client.Services.Modify(ctx, id, func(service *swarm.Service) error {
		switch spec := &service.Spec; {
		case spec.TaskTemplate.ContainerSpec.Image == image:
			before = new(*spec)
			spec.TaskTemplate.ContainerSpec.Image = found.Reference
			spec.DropLabel(labelFailed)
		case before == nil || spec.TaskTemplate.ContainerSpec.Image != found.Reference:
			return errElsewhere
		} // else an earlier try has made it, and was told of a conflict
		return nil
	}, &swarm.ServiceModifyOptions{Pin: swarm.PinRequired})
	lost, ok := errors.AsType[*swarm.OutcomeUnknownError](err)
	if !ok {
		if err != nil {
			before = nil
		}
		return change, before, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.patience)
	defer cancel()
	resolution, failed := lost.Resolve(ctx)
	switch {
	case failed != nil:
		return nil, before, errors.Join(err, failed)
	case resolution.Outcome == swarm.OutcomeApplied:
		return resolution.Change, before, nil
	case resolution.Outcome == swarm.OutcomeNotApplied:
		return nil, nil, lost.Err
	}
	return nil, before, err
}

var errElsewhere = errors.New("somebody else has changed its image")

// waitFor waits for a redeployed service. If somebody else changes it meanwhile,
// what counts is whether it still has the image.
func (r *redeployer) waitFor(ctx context.Context, change *swarm.ServiceChange, found *swarm.ResolvedImage) error {
	rollout := change.Rollout
	for {
		err := r.wait(ctx, rollout)
		if !errors.Is(err, swarm.ErrSuperseded) {
			return err
		}
		service, err := r.client.Services.Inspect(ctx, change.ID)
		if err != nil {
			return err
		}
		if service.Spec.TaskTemplate.ContainerSpec.Image != found.Reference {
			return errElsewhere
		}
		if rollout, err = r.client.Services.CurrentRollout(ctx, change.ID); err != nil {
			return err
		}
	}
}

func (r *redeployer) wait(ctx context.Context, rollout swarm.Rollout) error {
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	return r.client.Services.Wait(ctx, rollout, nil)
}

// putBack gives a service the image and the platforms it had before, also if the
// program is to end, and notes which image failed; one that was only not waited for
// has not. Whatever somebody else has changed stays.
func (r *redeployer) putBack(ctx context.Context, id string, before *swarm.ServiceSpec, found *swarm.ResolvedImage) error {
	interrupted := ctx.Err() != nil
	ctx = context.WithoutCancel(ctx)
	change, err := r.client.Services.Modify(ctx, id, func(service *swarm.Service) error {
		spec := &service.Spec
		switch spec.TaskTemplate.ContainerSpec.Image {
		case found.Reference:
			spec.TaskTemplate.ContainerSpec.Image = before.TaskTemplate.ContainerSpec.Image
			putPlatformsBack(spec, before.TaskTemplate.Placement, found.Platforms)
		case before.TaskTemplate.ContainerSpec.Image: // the engine has put it back
		default:
			return nil // somebody else's
		}
		if interrupted {
			return nil
		}
		if spec.Labels == nil {
			spec.Labels = map[string]string{}
		}
		spec.Labels[labelFailed] = found.Digest
		return nil
	}, nil)
	if err != nil {
		return fmt.Errorf("put back: %w", err)
	}
	if err := r.wait(ctx, change.Rollout); err != nil {
		return fmt.Errorf("put back: %w", err)
	}
	return nil
}

// putPlatformsBack takes back the platforms of an image, if it is them that a service
// has now.
func putPlatformsBack(spec *swarm.ServiceSpec, before *swarm.Placement, image []swarm.Platform) {
	now := spec.TaskTemplate.Placement
	switch {
	case now == nil || !slices.Equal(now.Platforms, image):
	case before != nil:
		now.Platforms = before.Platforms
	default:
		now.Platforms = nil
		if reflect.ValueOf(*now).IsZero() {
			spec.TaskTemplate.Placement = nil
		}
	}
}
