package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func transactions(ctx context.Context, address string, given arguments) error {
	options := []kgo.Opt{kgo.DefaultProduceTopic(given.Topic), kgo.TransactionalID(given.TransactionalID)}
	producer, err := newClient(address, options...)
	if err != nil {
		return err
	}
	defer producer.Close()
	if err := write(ctx, producer, kgo.TryCommit, "committed-1", "committed-2"); err != nil {
		return err
	}
	say(fact{"did": "commit"})
	if err := write(ctx, producer, kgo.TryAbort, "aborted"); err != nil {
		return err
	}
	say(fact{"did": "abort"})
	if err := move(ctx, address, given); err != nil {
		return err
	}
	say(fact{"did": "positions"})
	// The one that moved was a successor, too: the first producer has lost its id to it.
	err = write(ctx, producer, kgo.TryCommit, "fenced")
	if !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) {
		return fmt.Errorf("not refused as expected: %w", err)
	}
	say(fact{"did": "fenced"})
	successor, err := newClient(address, options...)
	if err != nil {
		return err
	}
	defer successor.Close()
	return write(ctx, successor, kgo.TryCommit, "end")
}

func write(ctx context.Context, producer *kgo.Client, end kgo.TransactionEndTry, values ...string) error {
	if err := producer.BeginTransaction(); err != nil {
		return err
	}
	for _, value := range values {
		if err := producer.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr(); err != nil {
			return err
		}
	}
	return producer.EndTransaction(ctx, end)
}

// One transaction that takes two records from one topic to another.
func move(ctx context.Context, address string, given arguments) error {
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(address),
		kgo.DefaultProduceTopic(given.Topic), kgo.TransactionalID(given.TransactionalID),
		kgo.ConsumerGroup(given.Group), kgo.ConsumeTopics(given.Source), kgo.RequireStableFetchOffsets(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer session.Close()
	if err := session.Begin(); err != nil {
		return err
	}
	for moved := 0; moved < 2; {
		for _, each := range session.PollFetches(ctx).Records() {
			if err := session.ProduceSync(ctx, kgo.StringRecord("moved-"+string(each.Value))).FirstErr(); err != nil {
				return err
			}
			moved++
		}
	}
	committed, err := session.End(ctx, kgo.TryCommit)
	if err == nil && !committed {
		err = errors.New("the transaction was aborted by a rebalance")
	}
	return err
}
