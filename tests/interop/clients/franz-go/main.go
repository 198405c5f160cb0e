// franz-go as a client under test; the steps are described in steps.py.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type arguments struct {
	Topic           string
	Codec           string
	Records         []record
	Count           int
	Isolation       string
	Group           string
	Source          string
	Seen            string
	TransactionalID string `json:"transactional_id"`
	PauseMs         int    `json:"pause_ms"`
}

type record struct {
	Partition   int32       `json:"partition"`
	Offset      int64       `json:"offset"`
	Key         *string     `json:"key"`
	Value       *string     `json:"value"`
	Headers     [][2]string `json:"headers"`
	TimestampMs int64       `json:"timestamp_ms"`
}

type fact map[string]any

var (
	steps = map[string]func(context.Context, string, arguments) error{
		"versions": versions, "produce": produce, "consume": consume, "member": member,
		"transactions": transactions, "admin": admin, "stream": stream,
	}
	codecs = map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	input   = bufio.NewReader(os.Stdin)
	talking sync.Mutex
)

func main() {
	var given arguments
	line, err := input.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &given)
	}
	if err == nil {
		err = steps[os.Args[2]](context.Background(), os.Args[1], given)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func say(told fact) {
	talking.Lock()
	defer talking.Unlock()
	line, _ := json.Marshal(told)
	fmt.Println(string(line))
}

func sayRecord(found *kgo.Record) {
	headers := [][2]string{}
	for _, header := range found.Headers {
		headers = append(headers, [2]string{header.Key, string(header.Value)})
	}
	say(fact{"record": record{
		found.Partition, found.Offset, text(found.Key), text(found.Value), headers, found.Timestamp.UnixMilli(),
	}})
}

func text(content []byte) *string {
	if content == nil {
		return nil
	}
	found := string(content)
	return &found
}

func content(text *string) []byte {
	if text == nil {
		return nil
	}
	return []byte(*text)
}

// The context is over once the standard input has ended.
func untilAskedToStop(parent context.Context) context.Context {
	asked, cancel := context.WithCancel(parent)
	go func() {
		_, _ = io.Copy(io.Discard, input)
		cancel()
	}()
	return asked
}

func newClient(address string, options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(options, kgo.SeedBrokers(address))...)
}

func versions(context.Context, string, arguments) error {
	found, _ := debug.ReadBuildInfo()
	for _, module := range found.Deps {
		if module.Path == "github.com/twmb/franz-go" {
			say(fact{"client": module.Version[1:], "runtime": "Go " + runtime.Version()[2:]})
		}
	}
	return nil
}

func produce(ctx context.Context, address string, given arguments) error {
	client, err := newClient(address,
		kgo.ProducerBatchCompression(codecs[given.Codec]), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer client.Close()
	var records []*kgo.Record
	for _, each := range given.Records {
		made := &kgo.Record{
			Topic: given.Topic, Partition: each.Partition, Key: content(each.Key), Value: content(each.Value),
		}
		for _, header := range each.Headers {
			made.Headers = append(made.Headers, kgo.RecordHeader{Key: header[0], Value: []byte(header[1])})
		}
		records = append(records, made)
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return err
	}
	say(fact{"produced": len(records)})
	return nil
}

func consume(ctx context.Context, address string, given arguments) error {
	isolation := kgo.ReadUncommitted()
	if given.Isolation == "read_committed" {
		isolation = kgo.ReadCommitted()
	}
	client, err := newClient(address, kgo.FetchIsolationLevel(isolation),
		kgo.ConsumeTopics(given.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	for left := given.Count; left > 0; {
		for _, each := range client.PollRecords(ctx, left).Records() {
			sayRecord(each)
			left--
		}
	}
	return nil
}

func member(ctx context.Context, address string, given arguments) error {
	stopping := untilAskedToStop(ctx)
	assigned := []int32{}
	changed := func(change func(partitions []int32)) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
			change(topics[given.Topic])
			slices.Sort(assigned)
			say(fact{"assigned": assigned})
		}
	}
	gained := changed(func(partitions []int32) { assigned = append(assigned, partitions...) })
	lost := changed(func(partitions []int32) {
		assigned = slices.DeleteFunc(assigned, func(each int32) bool { return slices.Contains(partitions, each) })
	})
	client, err := newClient(address, kgo.ConsumerGroup(given.Group), kgo.ConsumeTopics(given.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.OnPartitionsAssigned(gained), kgo.OnPartitionsRevoked(lost), kgo.OnPartitionsLost(lost))
	if err != nil {
		return err
	}
	defer client.Close()
	for stopping.Err() == nil {
		records := client.PollFetches(stopping).Records()
		for _, each := range records {
			sayRecord(each)
		}
		if err := client.CommitRecords(ctx, records...); err != nil {
			return err
		}
	}
	return nil
}

func stream(ctx context.Context, address string, given arguments) error {
	client, err := newClient(address) // is idempotent by default
	if err != nil {
		return err
	}
	defer client.Close()
	for number := range given.Count {
		sent := &kgo.Record{Topic: given.Topic, Value: fmt.Append(nil, number)}
		if err := client.ProduceSync(ctx, sent).FirstErr(); err != nil {
			return err
		}
		say(fact{"sent": number})
		time.Sleep(time.Duration(given.PauseMs) * time.Millisecond)
	}
	return nil
}
