import com.fasterxml.jackson.databind.JsonNode;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.TopicExistsException;

/** The calls of administrators, each told as a fact. */
final class AdminCalls {
    private final String address;
    private final String topic;
    private final String group;
    private final TopicPartition seen;

    AdminCalls(String address, JsonNode given) {
        this.address = address;
        this.topic = given.get("topic").asText();
        this.group = given.get("group").asText();
        this.seen = new TopicPartition(given.get("seen").asText(), 0);
    }

    void run() {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", address))) {
            topics(admin);
            cluster(admin);
            configs(admin);
            records(admin);
            groups(admin);
            transactions(admin);
        }
    }

    private void topics(Admin admin) {
        NewTopic wanted = new NewTopic(topic, 2, (short) 1).configs(Map.of("retention.ms", "3600000"));
        Facts.call("create topic", () -> admin.createTopics(List.of(wanted)).all().get());
        Facts.call("create topic again: refused", () -> Facts.refused(List.of(TopicExistsException.class),
            () -> admin.createTopics(List.of(wanted)).all().get()));
        Facts.call("list topics", () -> {
            Collection<String> found = admin.listTopics().names().get();
            Facts.expect(found.contains(topic), found);
        });
        Facts.call("describe topic", () -> {
            var found = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
            Facts.expect(found.partitions().size() == 2, found);
        });
        Facts.call("create partitions",
            () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all().get());
        Facts.call("delete topic", () -> {
            String gone = topic + "-gone";
            admin.createTopics(List.of(new NewTopic(gone, 1, (short) 1))).all().get();
            admin.deleteTopics(List.of(gone)).all().get();
        });
    }

    private void cluster(Admin admin) {
        Facts.call("describe cluster", () -> {
            var found = admin.describeCluster();
            Facts.expect(found.nodes().get().size() == 1 && !found.clusterId().get().isEmpty(), found);
        });
        Facts.call("describe log dirs", () -> {
            int node = admin.describeCluster().nodes().get().iterator().next().id();
            var found = admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node);
            boolean has = found.values().stream().anyMatch(each -> each.replicaInfos().containsKey(seen));
            Facts.expect(has, found.keySet());
        });
        Facts.call("describe quorum", () -> admin.describeMetadataQuorum().quorumInfo().get());
    }

    private void configs(Admin admin) {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Facts.call("describe configs", () -> {
            Config found = admin.describeConfigs(List.of(resource)).all().get().get(resource);
            Facts.expect(found.get("retention.ms").value().equals("3600000"), found.get("retention.ms"));
            Facts.expect(found.get("retention.ms").source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG,
                found.get("retention.ms"));
            Facts.expect(found.get("cleanup.policy").isDefault(), found.get("cleanup.policy"));
        });
        Facts.call("alter configs", () -> {
            var change = new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET);
            admin.incrementalAlterConfigs(Map.of(resource, List.of(change))).all().get();
            Config found = admin.describeConfigs(List.of(resource)).all().get().get(resource);
            Facts.expect(found.get("retention.ms").value().equals("7200000"), found.get("retention.ms"));
        });
    }

    private void records(Admin admin) {
        Facts.call("delete records",
            () -> admin.deleteRecords(Map.of(seen, RecordsToDelete.beforeOffset(4))).all().get());
        Facts.call("list offsets", () -> {
            long start = admin.listOffsets(Map.of(seen, OffsetSpec.earliest())).partitionResult(seen).get().offset();
            long end = admin.listOffsets(Map.of(seen, OffsetSpec.latest())).partitionResult(seen).get().offset();
            Facts.expect(start == 4 && end == 10, List.of(start, end));
        });
        Facts.call("describe producers",
            () -> admin.describeProducers(List.of(seen)).partitionResult(seen).get());
    }

    private void groups(Admin admin) {
        Facts.call("list groups", () -> {
            var found = admin.listGroups().all().get();
            Facts.expect(found.stream().anyMatch(each -> each.groupId().equals(group)), found);
        });
        Facts.call("describe group", () -> {
            var found = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
            Facts.expect(found.groupState() == GroupState.EMPTY, found);
        });
        Facts.call("list group positions", () -> Facts.expect(position(admin) == 6, position(admin)));
        Facts.call("alter group positions", () -> {
            admin.alterConsumerGroupOffsets(group, Map.of(seen, new OffsetAndMetadata(7))).all().get();
            Facts.expect(position(admin) == 7, position(admin));
        });
        Facts.call("delete group", () -> admin.deleteConsumerGroups(List.of(group)).all().get());
    }

    private long position(Admin admin) throws Exception {
        var found = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        return found.get(seen).offset();
    }

    private void transactions(Admin admin) {
        Facts.call("list transactions", () -> admin.listTransactions().all().get());
    }
}
