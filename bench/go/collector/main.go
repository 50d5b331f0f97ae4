// The baseline of the collector scenario: what a Go service for events usually looks like.
// net/http, a buffered channel, eight workers that append to a file.
//
//	-ack enqueue   answers as soon as the event is in the channel: a crash loses what is buffered
//	-ack durable   answers after a group commit: one fdatasync for all that waits
//
// It prints "ready <address>" and ends on SIGTERM when everything buffered is written.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

const (
	workers         = 8
	queueEventsMax  = 65536
	groupEventsMax  = 4096
	eventBytesMax   = 1 << 20
	retryAfterFixed = "1"
)

// item is one event on its way to the file; done is nil when nobody waits for it.
type item struct {
	event []byte
	done  chan error
}

type collector struct {
	queue   chan item
	durable bool
	check   bool
}

func (c *collector) track(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "POST only", http.StatusMethodNotAllowed)
		return
	}
	event, err := io.ReadAll(http.MaxBytesReader(w, r.Body, eventBytesMax))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if c.check && !json.Valid(event) {
		http.Error(w, "not JSON", http.StatusBadRequest)
		return
	}
	next := item{event: event}
	if c.durable {
		next.done = make(chan error, 1)
	}
	select {
	case c.queue <- next:
	default:
		w.Header().Set("Retry-After", retryAfterFixed)
		http.Error(w, "full", http.StatusServiceUnavailable)
		return
	}
	if c.durable {
		if err := <-next.done; err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"accepted":1}`)
}

// write appends what the channel brings, in groups, until it is closed. With sync, it calls
// fdatasync once a group and then tells everybody who waits.
func write(queue <-chan item, file *os.File, sync bool) {
	var buf bytes.Buffer
	var waiting []chan error
	for first := range queue {
		buf.Reset()
		waiting = waiting[:0]
		add := func(next item) {
			buf.Write(next.event)
			buf.WriteByte('\n')
			if next.done != nil {
				waiting = append(waiting, next.done)
			}
		}
		add(first)
	group:
		for count := 1; count < groupEventsMax; count++ {
			select {
			case next, open := <-queue:
				if !open {
					break group
				}
				add(next)
			default:
				break group
			}
		}
		_, err := file.Write(buf.Bytes())
		if err == nil && sync {
			err = syscall.Fdatasync(int(file.Fd()))
		}
		if err != nil {
			log.Print(err)
		}
		for _, done := range waiting {
			done <- err
		}
	}
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address")
	path := flag.String("file", "events.ndjson", "where events are appended")
	ack := flag.String("ack", "enqueue", "enqueue or durable")
	check := flag.Bool("check", true, "check that a body is JSON")
	flag.Parse()

	file, err := os.OpenFile(*path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	c := &collector{queue: make(chan item, queueEventsMax), durable: *ack == "durable", check: *check}
	count := workers
	if c.durable {
		// A group commit has one committer: eight would only wait for each other's sync.
		count = 1
	}
	var writers sync.WaitGroup
	for range make([]struct{}, count) {
		writers.Add(1)
		go func() {
			defer writers.Done()
			write(c.queue, file, c.durable)
		}()
	}

	mux := http.NewServeMux()
	mux.HandleFunc("/track", c.track)
	server := &http.Server{Handler: mux}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	stopped, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Printf("ready %s\n", listener.Addr())

	<-stopped.Done()
	if err := server.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	<-served
	close(c.queue)
	writers.Wait()
	if err := file.Sync(); err != nil {
		log.Fatal(err)
	}
}
