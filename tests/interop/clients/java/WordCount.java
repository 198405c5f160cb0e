import com.fasterxml.jackson.databind.JsonNode;
import java.util.Arrays;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.AppInfoParser;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/** Kafka Streams: counts words exactly once, through a repartition topic, in a store with a changelog. */
public final class WordCount {
    private WordCount() {}

    public static void main(String[] words) throws Exception {
        JsonNode given = Facts.arguments();
        if (words[1].equals("versions")) {
            Facts.sayVersions(AppInfoParser.getVersion(), "Java " + System.getProperty("java.version"));
            return;
        }
        KafkaStreams streams = new KafkaStreams(topology(given), settings(words[0], given));
        streams.setStateListener((now, before) -> Facts.say("state", now.toString()));
        streams.setUncaughtExceptionHandler(error -> {
            Facts.say("failed", error.toString());
            return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler
                .StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        streams.start();
        Facts.askedToStop().await();
        streams.close();
    }

    private static Topology topology(JsonNode given) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(given.get("source").asText(), Consumed.with(Serdes.String(), Serdes.String()))
            .flatMapValues(line -> Arrays.asList(line.split(" ")))
            .groupBy((key, word) -> word, Grouped.with("by-word", Serdes.String(), Serdes.String()))
            .count(Materialized.as("counts"))
            .toStream()
            .mapValues(String::valueOf)
            .to(given.get("sink").asText(), Produced.with(Serdes.String(), Serdes.String()));
        return builder.build();
    }

    private static Properties settings(String address, JsonNode given) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, address);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, given.get("application").asText());
        settings.put(StreamsConfig.STATE_DIR_CONFIG, given.get("state").asText());
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        // Without a cache every count is an output, so that one too many or too few is seen.
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        settings.put(StreamsConfig.consumerPrefix("session.timeout.ms"), 6000);
        settings.put(StreamsConfig.consumerPrefix("heartbeat.interval.ms"), 500);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        return settings;
    }
}
