import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/** Kafka's own clients, in Java, as clients under test; the steps are described in steps.py. */
public final class Client {
    private static final Duration POLL = Duration.ofMillis(200);

    private final String address;
    private final JsonNode given;

    private Client(String address, JsonNode given) {
        this.address = address;
        this.given = given;
    }

    public static void main(String[] words) throws Exception {
        Client client = new Client(words[0], Facts.arguments());
        switch (words[1]) {
            case "versions" -> client.versions();
            case "produce" -> client.produce();
            case "consume" -> client.consume();
            case "member" -> client.member();
            case "transactions" -> client.transactions();
            case "stream" -> client.stream();
            case "admin" -> new AdminCalls(client.address, client.given).run();
            default -> throw new IllegalArgumentException(words[1]);
        }
    }

    private void versions() {
        Facts.sayVersions(AppInfoParser.getVersion(), "Java " + System.getProperty("java.version"));
    }

    private String text(String name) {
        return given.get(name).asText();
    }

    private KafkaProducer<String, String> producer(Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(settings);
        all.put("bootstrap.servers", address);
        return new KafkaProducer<>(all, new StringSerializer(), new StringSerializer());
    }

    private KafkaConsumer<String, String> consumer(Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(settings);
        all.put("bootstrap.servers", address);
        all.put("auto.offset.reset", "earliest");
        all.put("enable.auto.commit", false);
        return new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
    }

    private void produce() throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        Map<String, Object> settings = Map.of("compression.type", text("codec"), "linger.ms", 20);
        try (KafkaProducer<String, String> producer = producer(settings)) {
            for (JsonNode each : given.get("records")) {
                ProducerRecord<String, String> record = new ProducerRecord<>(text("topic"),
                    each.get("partition").asInt(), each.get("key").textValue(), each.get("value").textValue());
                for (JsonNode header : each.get("headers")) {
                    byte[] value = header.get(1).asText().getBytes(StandardCharsets.UTF_8);
                    record.headers().add(header.get(0).asText(), value);
                }
                sent.add(producer.send(record));
            }
            for (Future<RecordMetadata> each : sent) {
                each.get();
            }
        }
        Facts.say("produced", sent.size());
    }

    private void consume() {
        try (KafkaConsumer<String, String> consumer = consumer(Map.of("isolation.level", text("isolation")))) {
            List<TopicPartition> partitions = consumer.partitionsFor(text("topic")).stream()
                .map(each -> new TopicPartition(each.topic(), each.partition())).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            int left = given.get("count").asInt();
            while (left > 0) {
                for (ConsumerRecord<String, String> record : consumer.poll(POLL)) {
                    if (left-- > 0) {
                        Facts.sayRecord(record);
                    }
                }
            }
        }
    }

    private void member() throws InterruptedException {
        Map<String, Object> settings = new HashMap<>();
        settings.put("group.id", text("group"));
        settings.put("group.protocol", text("protocol"));
        if (text("protocol").equals("classic")) {
            settings.put("session.timeout.ms", 6000);
            settings.put("heartbeat.interval.ms", 500);
        }
        CountDownLatch stopping = Facts.askedToStop();
        try (KafkaConsumer<String, String> consumer = consumer(settings)) {
            consumer.subscribe(List.of(text("topic")));
            TreeSet<Integer> told = new TreeSet<>();
            while (!stopping.await(0, TimeUnit.MILLISECONDS)) {
                for (ConsumerRecord<String, String> record : consumer.poll(POLL)) {
                    Facts.sayRecord(record);
                }
                consumer.commitSync();
                TreeSet<Integer> assigned = new TreeSet<>();
                consumer.assignment().forEach(each -> assigned.add(each.partition()));
                if (!assigned.equals(told)) {
                    told = assigned;
                    Facts.sayAssigned(assigned);
                }
            }
        }
    }

    private void transactions() throws Exception {
        Map<String, Object> settings = Map.of("transactional.id", text("transactional_id"));
        try (KafkaProducer<String, String> producer = producer(settings);
             KafkaProducer<String, String> successor = producer(settings)) {
            producer.initTransactions();
            producer.beginTransaction();
            send(producer, "committed-1");
            send(producer, "committed-2");
            producer.commitTransaction();
            Facts.say("did", "commit");
            producer.beginTransaction();
            send(producer, "aborted");
            producer.flush();
            producer.abortTransaction();
            Facts.say("did", "abort");
            move(producer);
            Facts.say("did", "positions");
            successor.initTransactions();
            // Which of the two it is depends on the version of transactions that the broker offers.
            List<Class<? extends ApiException>> fenced =
                List.of(ProducerFencedException.class, InvalidProducerEpochException.class);
            Facts.refused(fenced, () -> {
                producer.beginTransaction();
                send(producer, "fenced");
                producer.commitTransaction();
            });
            Facts.say("did", "fenced");
            successor.beginTransaction();
            send(successor, "end");
            successor.commitTransaction();
        }
    }

    private void send(KafkaProducer<String, String> producer, String value) {
        producer.send(new ProducerRecord<>(text("topic"), value));
    }

    /** One transaction that takes two records from one topic to another. */
    private void move(KafkaProducer<String, String> producer) {
        try (KafkaConsumer<String, String> consumer = consumer(Map.of("group.id", text("group")))) {
            consumer.subscribe(List.of(text("source")));
            producer.beginTransaction();
            int moved = 0;
            while (moved < 2) {
                for (ConsumerRecord<String, String> record : consumer.poll(POLL)) {
                    send(producer, "moved-" + record.value());
                    moved++;
                }
            }
            Map<TopicPartition, OffsetAndMetadata> positions = new HashMap<>();
            consumer.assignment()
                .forEach(each -> positions.put(each, new OffsetAndMetadata(consumer.position(each))));
            producer.sendOffsetsToTransaction(positions, consumer.groupMetadata());
            producer.commitTransaction();
        }
    }

    private void stream() throws Exception {
        try (KafkaProducer<String, String> producer = producer(Map.of())) {  // is idempotent by default
            for (int number = 0; number < given.get("count").asInt(); number++) {
                producer.send(new ProducerRecord<>(text("topic"), String.valueOf(number))).get();
                Facts.say("sent", number);
                Thread.sleep(given.get("pause_ms").asInt());
            }
        }
    }
}
