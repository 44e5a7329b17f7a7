//go:build race

package rollouts_test

// raceDetector tells that everything takes many times as long.
const raceDetector = true
