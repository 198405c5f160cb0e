package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func admin(ctx context.Context, address string, given arguments) error {
	client, err := newClient(address)
	if err != nil {
		return err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	adminTopics(ctx, adm, given.Topic)
	adminConfigs(ctx, adm, given.Topic)
	adminRecords(ctx, adm, given.Seen)
	adminGroups(ctx, adm, given.Seen, given.Group)
	return nil
}

func call(name string, action func() error) {
	told := fact{"call": name}
	if err := action(); err != nil {
		told["failed"] = err.Error()
	}
	say(told)
}

func expect(isSo bool, err error, found any) error {
	if err == nil && !isSo {
		err = fmt.Errorf("unexpected answer: %v", found)
	}
	return err
}

func adminTopics(ctx context.Context, adm *kadm.Client, topic string) {
	retention := "3600000"
	create := func(name string) error {
		made, err := adm.CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": &retention}, name)
		return errors.Join(err, made.Err)
	}
	call("create topic", func() error { return create(topic) })
	call("create topic again: refused", func() error {
		err := create(topic)
		return expect(errors.Is(err, kerr.TopicAlreadyExists), nil, err)
	})
	call("list topics", func() error {
		found, err := adm.ListTopics(ctx)
		return expect(found.Has(topic), err, found)
	})
	call("describe topic", func() error {
		found, err := adm.ListTopics(ctx, topic)
		return expect(len(found[topic].Partitions) == 2, err, found)
	})
	call("create partitions", func() error {
		made, err := adm.UpdatePartitions(ctx, 3, topic)
		return errors.Join(err, made.Error())
	})
	call("delete topic", func() error {
		gone := topic + "-gone"
		err := create(gone)
		deleted, other := adm.DeleteTopic(ctx, gone)
		return errors.Join(err, other, deleted.Err)
	})
	call("describe cluster", func() error {
		found, err := adm.BrokerMetadata(ctx)
		return expect(len(found.Brokers) == 1 && found.Cluster != "", err, found)
	})
	call("describe log dirs", func() error {
		found, err := adm.DescribeAllLogDirs(ctx, nil)
		return expect(len(found) == 1, err, found)
	})
}

func adminConfigs(ctx context.Context, adm *kadm.Client, topic string) {
	described := func() (map[string]string, error) {
		found, err := adm.DescribeTopicConfigs(ctx, topic)
		values := map[string]string{}
		for _, resource := range found {
			err = errors.Join(err, resource.Err)
			for _, entry := range resource.Configs {
				values[entry.Key] = entry.MaybeValue()
			}
		}
		return values, err
	}
	call("describe configs", func() error {
		found, err := described()
		return expect(found["retention.ms"] == "3600000" && found["cleanup.policy"] == "delete", err, found)
	})
	call("alter configs", func() error {
		value := "7200000"
		change := kadm.AlterConfig{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}
		_, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{change}, topic)
		if err != nil {
			return err
		}
		found, err := described()
		return expect(found["retention.ms"] == value, err, found)
	})
}

func adminRecords(ctx context.Context, adm *kadm.Client, seen string) {
	call("delete records", func() error {
		var before kadm.Offsets
		before.AddOffset(seen, 0, 4, -1)
		deleted, err := adm.DeleteRecords(ctx, before)
		return errors.Join(err, deleted.Error())
	})
	call("list offsets", func() error {
		starts, err := adm.ListStartOffsets(ctx, seen)
		ends, other := adm.ListEndOffsets(ctx, seen)
		start, _ := starts.Lookup(seen, 0)
		end, _ := ends.Lookup(seen, 0)
		return expect(start.Offset == 4 && end.Offset == 10, errors.Join(err, other), []any{start, end})
	})
	call("describe producers", func() error {
		found, err := adm.DescribeProducers(ctx, kadm.TopicsSet{seen: {0: {}}})
		return expect(len(found[seen].Partitions) == 1, err, found)
	})
	call("list transactions", func() error {
		_, err := adm.ListTransactions(ctx, nil, nil)
		return err
	})
}

func adminGroups(ctx context.Context, adm *kadm.Client, seen string, group string) {
	position := func() (int64, error) {
		found, err := adm.FetchOffsets(ctx, group)
		at, _ := found.Lookup(seen, 0)
		return at.At, err
	}
	call("list groups", func() error {
		found, err := adm.ListGroups(ctx)
		return expect(found[group].Group == group, err, found)
	})
	call("describe group", func() error {
		found, err := adm.DescribeGroups(ctx, group)
		return expect(found[group].State == "Empty", err, found)
	})
	call("list group positions", func() error {
		at, err := position()
		return expect(at == 6, err, at)
	})
	call("alter group positions", func() error {
		var wanted kadm.Offsets
		wanted.AddOffset(seen, 0, 7, -1)
		committed, err := adm.CommitOffsets(ctx, group, wanted)
		at, other := position()
		return expect(at == 7, errors.Join(err, committed.Error(), other), at)
	})
	call("delete group", func() error {
		deleted, err := adm.DeleteGroup(ctx, group)
		return errors.Join(err, deleted.Err)
	})
}
