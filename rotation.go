package swarm

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// rotation is one rotation under way.
type rotation struct {
	*rotator
	opts   RotateOptions
	name   string
	to     dataVersion
	before int    // the number of the version before, 0 if no service used any
	word   string // by which this rotation knows its own mark
	marked bool   // the label of to says that this is under way
	// overtaken says that services were left to a newer version, which may have
	// failed since.
	overtaken bool
	moves     []move
	result    *Rotation
}

// move is a service that has moved, and what it used before, by place.
type move struct {
	service string
	from    map[string]dataVersion
}

func (r *rotator) rotate(ctx context.Context, name string, data []byte, opts *RotateOptions) (*Rotation, error) {
	if err := r.check(name, data); err != nil {
		return nil, err
	}
	opts = cmp.Or(opts, &RotateOptions{})
	if opts.Keep != nil && *opts.Keep < 0 {
		return nil, invalid(r.op, name, "Keep is negative")
	}
	rotation := &rotation{rotator: r, opts: *opts, name: name, word: rand.Text(), result: &Rotation{}}
	if err := r.insist(name, func() error { return rotation.begin(ctx, data) }); err != nil {
		return nil, err
	}
	rotation.result.ID, rotation.result.Name = rotation.to.id, rotation.to.name
	if err := rotation.moveAll(ctx); err != nil {
		return nil, &Error{Op: r.op, Object: name, Err: errors.Join(err, rotation.putBack(ctx))}
	}
	if err := rotation.tidyUp(ctx); err != nil {
		return rotation.result, &Error{Op: r.op, Object: name, Err: err}
	}
	return rotation.result, nil
}

// begin finds or makes the version to move to. One that another rotation is moving
// to is not shared: if that failed, it would not be known whose services may stay.
func (r *rotation) begin(ctx context.Context, data []byte) error {
	versions, highest, err := r.versions(ctx, r.name)
	if err != nil {
		return err
	}
	newest := last(versions)
	switch {
	case newest == nil:
		return &Error{Op: r.op, Object: r.name, kind: ErrNotFound, Message: "there is none of this name to rotate"}
	case newest.hasDriver:
		return invalid(r.op, r.name, "it has a driver, and no data of its own")
	}
	spec := dataSpec{labels: newest.labels, data: data, templating: newest.templating}
	take := r.fits(newest, spec)
	if take {
		versions = versions[:len(versions)-1]
	}
	if r.before, err = r.newestUsed(ctx, versions); err != nil {
		return err
	}
	switch {
	case !take:
		r.to, err = r.add(ctx, r.name, highest+1, spec, r.mark(stageMoving))
		r.result.Created, r.marked = true, true
	case r.before == 0: // nobody has to move, and nothing is to be said
		r.to = *newest
	default:
		r.to, r.marked = *newest, true
		err = r.claim(ctx)
	}
	return err
}

func (r *rotation) mark(stage string) string {
	return fmt.Sprintf("%s:%d:%s", stage, r.before, r.word)
}

// newestUsed is the highest number among versions that services use, or come back
// to, 0 if they use none.
func (r *rotation) newestUsed(ctx context.Context, versions []dataVersion) (int, error) {
	byID, highest := map[string]dataVersion{}, 0
	for _, v := range versions {
		byID[v.id] = v
	}
	for service, err := range r.client.Services.All(ctx, nil) {
		if err != nil {
			return 0, err
		}
		for _, ref := range r.refs(&service.Spec) {
			if used, ok := byID[*ref.id]; ok {
				highest = max(highest, back(versions, used).number)
			}
		}
	}
	return highest, nil
}

// claim marks a version that was there already. If somebody else has done so in
// between, it is theirs.
func (r *rotation) claim(ctx context.Context) error {
	taken := &Error{Op: r.op, Object: r.to.name, Message: "another rotation has taken it", kind: ErrNameConflict}
	err := r.editLabels(ctx, r.to.id, func(now map[string]string) (map[string]string, error) {
		mark := r.mark(stageMoving)
		if other := now[labelRotation]; other != "" && other != mark { // an earlier try may have made it
			return nil, taken
		}
		return withMark(now, mark), nil
	})
	if errors.Is(err, ErrNotFound) {
		return taken
	}
	return err
}

func withMark(now map[string]string, mark string) map[string]string {
	labels := ownLabels(now, now)
	setMark(labels, mark)
	return labels
}

// setStage says in the label how far this is; nothing if it is over. A version
// that is gone needs no label.
func (r *rotation) setStage(ctx context.Context, mark string) error {
	if !r.marked {
		return nil
	}
	err := r.editLabels(ctx, r.to.id, func(now map[string]string) (map[string]string, error) { return withMark(now, mark), nil })
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

const (
	// maxPasses bounds how often services may come back to an older version.
	maxPasses = 20
	// rotationPoll is how often a newer rotation is looked at.
	rotationPoll = time.Second
)

// moveAll moves all services that use an older version, also those that come to it
// meanwhile, until there is no newer rotation that could let some of them go again.
func (r *rotation) moveAll(ctx context.Context) error {
	for passes := 0; passes < maxPasses; {
		// In this order: a newer rotation that has ended has moved its services.
		others, err := r.others(ctx)
		if err != nil {
			return err
		}
		users, err := r.users(ctx, others.stale)
		switch {
		case err != nil:
			return err
		case len(users) > 0:
			passes++
			err = r.moveEach(ctx, users)
		case others.moving:
			r.overtaken = true
			err = pause(ctx, rotationPoll)
		case r.overtaken:
			passes++
			r.overtaken = false
			err = r.waitForAll(ctx)
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
	return errors.New("services keep coming back to an older version")
}

func (r *rotation) moveEach(ctx context.Context, ids []string) error {
	for _, id := range ids {
		if err := r.move(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// others are the other versions, as a rotation sees them.
type others struct {
	stale  map[string]dataVersion // no service is to use them: older, or failed where all newer ones have
	higher map[string]dataVersion // newer, whatever has become of them
	there  bool                   // the version of the rotation itself has not been removed
	newest bool                   // there is no higher one, but for failed ones
	moving bool                   // a rotation to a higher one is under way
	marked bool                   // or is at putting back what it has moved
}

func (r *rotation) others(ctx context.Context) (*others, error) {
	versions, _, err := r.versions(ctx, r.name)
	o := &others{stale: map[string]dataVersion{}, higher: map[string]dataVersion{}, newest: true}
	for _, v := range versions {
		o.there = o.there || v.id == r.to.id
		if v.number < r.to.number {
			o.stale[v.id] = v
		}
		if v.number > r.to.number {
			o.higher[v.id] = v
			o.newest = o.newest && v.failed()
			o.moving = o.moving || v.moving()
			o.marked = o.marked || v.moving() || v.failed()
		}
	}
	if o.newest { // else what has failed is for a newer rotation to take services from
		maps.Copy(o.stale, o.higher)
	}
	return o, err
}

// usesAny reports whether a service uses any of some versions.
func (r *rotation) usesAny(service *Service, versions map[string]dataVersion) bool {
	return slices.ContainsFunc(r.refs(&service.Spec), func(ref dataRef) bool { return versions[*ref.id].id != "" })
}

// users are the IDs of the services that are to move.
func (r *rotation) users(ctx context.Context, stale map[string]dataVersion) ([]string, error) {
	var users []string
	r.result.Jobs = nil
	for service, err := range r.client.Services.All(ctx, nil) {
		if err != nil {
			return nil, err
		}
		uses := r.usesAny(&service, stale)
		switch {
		case uses && !r.mayMove(&service):
			r.result.Jobs = append(r.result.Jobs, serviceLabel(&service))
		case uses:
			users = append(users, service.ID)
		}
	}
	return users, nil
}

// mayMove reports whether a service is one that moves: jobs run again then.
func (r *rotation) mayMove(service *Service) bool {
	kind := service.Spec.Mode.Kind()
	return r.opts.RerunJobs || kind != ModeReplicatedJob && kind != ModeGlobalJob
}

// waitForAll waits for all services that use the new version: newer rotations that
// have failed have put some back to it.
func (r *rotation) waitForAll(ctx context.Context) error {
	var users []Rollout
	for service, err := range r.client.Services.All(ctx, nil) {
		if err != nil {
			return err
		}
		if r.mayMove(&service) && r.usesAny(&service, map[string]dataVersion{r.to.id: r.to}) {
			users = append(users, rolloutOf(&service, RolloutSettle))
		}
	}
	for _, rollout := range users {
		if err := r.wait(ctx, rollout); err != nil {
			return err
		}
	}
	return nil
}

// move lets a service use the new version, and waits. A service that is removed
// meanwhile is none that uses it.
func (r *rotation) move(ctx context.Context, id string) error {
	others, err := r.others(ctx)
	if err != nil {
		return err
	}
	from, moved, tries := map[string]dataVersion{}, false, 0
	change, err := r.modify(ctx, id, func(service *Service) error {
		tries++
		for _, ref := range r.refs(&service.Spec) {
			if old, ok := others.stale[*ref.id]; ok {
				from[ref.place] = old // which stays if it is tried again: a conflict may be its own work
				ref.set(r.to)
			}
		}
		moved = len(from) > 0 && r.usesAny(service, map[string]dataVersion{r.to.id: r.to})
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	_, unknown := errors.AsType[*OutcomeUnknownError](err)
	if moved && (err == nil || unknown || tries > 1) {
		r.moves = append(r.moves, move{id, from})
	}
	if err != nil {
		return r.unlessRemoved(ctx, err)
	}
	if !moved {
		return nil
	}
	if err := r.wait(ctx, change.Rollout); err != nil {
		return err
	}
	change.Changed = true // if not by the last try, by an earlier one
	r.result.Moved = append(r.result.Moved, *change)
	return nil
}

// maxTries bounds how often others may hide what has become of a change.
const maxTries = 5

// modify is [ServiceClient.Modify], but finds out what has become of a change whose
// answer was lost. Where others hide that, it looks at what the service has now.
func (r *rotation) modify(ctx context.Context, id string, change func(*Service) error) (*ServiceChange, error) {
	for try := 1; ; try++ {
		result, err := r.client.Services.Modify(ctx, id, change, &ServiceModifyOptions{AuthFrom: r.opts.AuthFrom, RerunJob: r.opts.RerunJobs})
		lost, ok := errors.AsType[*OutcomeUnknownError](err)
		if !ok {
			return result, err
		}
		found, failed := lost.Resolve(ctx)
		switch {
		case failed != nil:
			return nil, errors.Join(err, failed)
		case found.Outcome == OutcomeApplied:
			return found.Change, nil
		case found.Outcome == OutcomeNotApplied:
			return nil, lost.Err
		case try == maxTries:
			return nil, err
		}
	}
}

// unlessRemoved is the error of a change, which none is if a newer rotation has
// removed the version: it has moved all services before.
func (r *rotation) unlessRemoved(ctx context.Context, err error) error {
	others, failed := r.others(ctx)
	if failed != nil || others.there || others.newest {
		return err
	}
	r.overtaken = true
	return nil
}

func (ref dataRef) set(v dataVersion) {
	*ref.id = v.id
	if ref.name != nil {
		*ref.name = v.name
	}
}

// wait waits for a service that has moved. If somebody else has changed it since,
// what counts is whether it still uses the new version. One that has moved on to a
// newer version is for whoever made that.
func (r *rotation) wait(ctx context.Context, rollout Rollout) error {
	for {
		err := r.client.Services.Wait(ctx, rollout, r.opts.Wait)
		if errors.Is(err, ErrRemoved) {
			return nil
		}
		if !errors.Is(err, ErrSuperseded) {
			return err
		}
		others, failed := r.others(ctx)
		if failed != nil {
			return errors.Join(err, failed)
		}
		service, failed := r.client.Services.Inspect(ctx, rollout.ServiceID)
		if errors.Is(failed, ErrNotFound) {
			return nil
		}
		if failed != nil {
			return errors.Join(err, failed)
		}
		switch {
		case r.usesAny(service, others.higher):
			r.overtaken = true
			return nil
		case r.usesAny(service, others.stale):
			return err // somebody has put it back
		}
		rollout = rolloutOf(service, RolloutSettle)
	}
}

// putBack undoes what was done, the last first, also when ctx has ended.
func (r *rotation) putBack(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	failed := []error{r.fail(ctx)}
	for _, m := range slices.Backward(r.moves) {
		failed = append(failed, r.putBackOne(ctx, m))
	}
	return errors.Join(append(failed, r.takeBack(ctx))...)
}

// fail says that no service is to use the new version any more.
func (r *rotation) fail(ctx context.Context) error {
	ctx, cancel := r.client.bounded(ctx)
	defer cancel()
	return r.setStage(ctx, r.mark(stageFailed))
}

// putBackOne gives a service what it had before. Whatever it has got from somebody
// else since stays.
func (r *rotation) putBackOne(ctx context.Context, m move) error {
	ctx, cancel := r.client.bounded(ctx)
	defer cancel()
	given := map[string]bool{r.to.id: true} // what it has from this rotation
	rollout, changed, err := r.giveBack(ctx, m, given)
	for err == nil && changed { // until it has what has not failed in between
		var again Rollout
		if again, changed, err = r.giveBack(ctx, m, given); changed {
			rollout = again
		}
	}
	if err == nil {
		err = r.client.Services.Wait(ctx, rollout, r.opts.Wait)
	}
	if err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrRemoved) || errors.Is(err, ErrSuperseded) {
		return nil
	}
	return fmt.Errorf("put back: %w", err)
}

func (r *rotation) giveBack(ctx context.Context, m move, given map[string]bool) (rollout Rollout, changed bool, err error) {
	versions, _, err := r.versions(ctx, r.name)
	if err != nil {
		return rollout, false, err
	}
	change, err := r.modify(ctx, m.service, func(service *Service) error {
		for _, ref := range r.refs(&service.Spec) {
			if from, ok := m.from[ref.place]; ok && given[*ref.id] {
				ref.set(back(versions, from))
			}
		}
		return nil
	})
	if err != nil {
		return rollout, false, err
	}
	for _, from := range m.from {
		given[back(versions, from).id] = true
	}
	return change.Rollout, change.Changed, nil
}

// back is the version to go back to where a service had v: that one, or if it has
// failed since, the one before it.
func back(versions []dataVersion, v dataVersion) dataVersion {
	for {
		i := slices.IndexFunc(versions, func(other dataVersion) bool { return other.id == v.id })
		if i >= 0 {
			v = versions[i]
		}
		if i >= 0 && !v.failed() {
			return v
		}
		_, before := v.stage()
		i = slices.IndexFunc(versions, func(other dataVersion) bool { return other.number == before })
		if i < 0 || before >= v.number {
			return v // there is nothing else
		}
		v = versions[i]
	}
}

// takeBack ends a rotation that has failed. Its version stays as long as newer
// rotations may have to go back from it to the one before.
func (r *rotation) takeBack(ctx context.Context) error {
	ctx, cancel := r.client.bounded(ctx)
	defer cancel()
	others, err := r.others(ctx)
	if err != nil || others.marked {
		return err
	}
	if r.result.Created {
		_, err = r.removeFree(ctx, []dataVersion{r.to})
	} else {
		err = r.setStage(ctx, "")
	}
	if err == nil {
		err = r.removeFailed(ctx)
	}
	return err
}

// removeFailed removes what older rotations have failed with, and had to leave.
func (r *rotation) removeFailed(ctx context.Context) error {
	others, err := r.others(ctx)
	if err != nil || others.marked {
		return err
	}
	var failed []dataVersion
	for _, v := range byNumber(others.stale) {
		if v.failed() {
			failed = append(failed, v)
		}
	}
	removed, err := r.removeFree(ctx, failed)
	r.result.Removed = append(r.result.Removed, removed...)
	return err
}

func byNumber(versions map[string]dataVersion) []dataVersion {
	return slices.SortedFunc(maps.Values(versions), func(a, b dataVersion) int { return cmp.Compare(a.number, b.number) })
}

// tidyUp ends a rotation that has succeeded.
func (r *rotation) tidyUp(ctx context.Context) error {
	return errors.Join(r.setStage(ctx, ""), r.removeFailed(ctx), r.removeOld(ctx))
}

// removeOld removes the older versions that are not to be kept. Where services have
// moved on to a newer one, or are to, what is kept is for that rotation to say; one
// that none uses Ensure has made.
func (r *rotation) removeOld(ctx context.Context) error {
	if r.opts.Keep == nil {
		return nil
	}
	others, err := r.others(ctx)
	if err != nil || others.moving {
		return err
	}
	if !others.newest {
		used, err := r.newestUsed(ctx, slices.DeleteFunc(byNumber(others.higher), func(v dataVersion) bool { return v.failed() }))
		if err != nil || used > 0 {
			return err
		}
	}
	older := slices.DeleteFunc(byNumber(others.stale), func(v dataVersion) bool { return v.number > r.to.number })
	removed, err := r.removeFree(ctx, older[:max(0, len(older)-*r.opts.Keep)])
	r.result.Removed = append(r.result.Removed, removed...)
	return err
}
