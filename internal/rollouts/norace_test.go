//go:build !race

package rollouts_test

const raceDetector = false
