// Reads an HLS stream with gohlslib's client for some seconds and tells what it got.
//
//	hls-client URL SECONDS
//
// Prints one JSON object: tracks, access units a track, decode errors, whether decoding times rose. Exits 1 when the
// client gave up before the time was over.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/bluenviron/gohlslib/v2"
	"github.com/bluenviron/gohlslib/v2/pkg/codecs"
)

type track struct {
	Codec string `json:"codec"`
	Units int    `json:"units"`
	// Times that a unit's decoding time was not above the one before.
	StepsBack int `json:"stepsBack"`

	last int64
}

func (t *track) units(mutex *sync.Mutex, dts int64, count int) {
	mutex.Lock()
	defer mutex.Unlock()
	if t.Units > 0 && dts <= t.last {
		t.StepsBack++
	}
	t.Units += count
	t.last = dts
}

type report struct {
	Tracks       []*track `json:"tracks"`
	DecodeErrors []string `json:"decodeErrors"`
	End          string   `json:"end,omitempty"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: hls-client URL SECONDS")
		os.Exit(2)
	}
	seconds, err := strconv.Atoi(os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "hls-client: SECONDS is no number:", os.Args[2])
		os.Exit(2)
	}

	var mutex sync.Mutex
	told := report{Tracks: []*track{}, DecodeErrors: []string{}}
	client := &gohlslib.Client{URI: os.Args[1]}
	client.OnDecodeError = func(err error) {
		mutex.Lock()
		defer mutex.Unlock()
		if len(told.DecodeErrors) < 20 {
			told.DecodeErrors = append(told.DecodeErrors, err.Error())
		}
	}
	client.OnTracks = func(tracks []*gohlslib.Track) error {
		for _, source := range tracks {
			into := &track{Codec: fmt.Sprintf("%T", source.Codec)}
			mutex.Lock()
			told.Tracks = append(told.Tracks, into)
			mutex.Unlock()
			switch source.Codec.(type) {
			case *codecs.H264, *codecs.H265:
				client.OnDataH26x(source, func(_ int64, dts int64, _ [][]byte) { into.units(&mutex, dts, 1) })
			case *codecs.MPEG4Audio:
				client.OnDataMPEG4Audio(source, func(pts int64, data [][]byte) { into.units(&mutex, pts, len(data)) })
			case *codecs.AV1:
				client.OnDataAV1(source, func(pts int64, _ [][]byte) { into.units(&mutex, pts, 1) })
			case *codecs.Opus:
				client.OnDataOpus(source, func(pts int64, data [][]byte) { into.units(&mutex, pts, len(data)) })
			}
		}
		return nil
	}

	failed := make(chan error, 1)
	if err := client.Start(); err != nil {
		failed <- err
	} else {
		go func() { failed <- client.Wait2() }()
	}
	code := 0
	select {
	case err := <-failed:
		told.End = err.Error()
		code = 1
	case <-time.After(time.Duration(seconds) * time.Second):
	}
	mutex.Lock()
	_ = json.NewEncoder(os.Stdout).Encode(told)
	os.Exit(code)
}
