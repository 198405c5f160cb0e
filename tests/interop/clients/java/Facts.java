import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;

/** What a program is told and tells: a line of JSON in, a line of JSON for each fact out. */
final class Facts {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final BufferedReader INPUT =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));

    private Facts() {}

    static JsonNode arguments() throws IOException {
        return JSON.readTree(INPUT.readLine());
    }

    /** Counted down once the standard input has ended. */
    static CountDownLatch askedToStop() {
        CountDownLatch stopping = new CountDownLatch(1);
        Thread waiting = new Thread(() -> {
            try {
                while (INPUT.readLine() != null) { }
            } catch (IOException error) {
                // Whoever could ask is gone.
            }
            stopping.countDown();
        });
        waiting.setDaemon(true);
        waiting.start();
        return stopping;
    }

    static void say(String name, Object content) {
        say(JSON.createObjectNode().putPOJO(name, content));
    }

    static synchronized void say(ObjectNode fact) {
        byte[] line = (fact + "\n").getBytes(StandardCharsets.UTF_8);
        System.out.write(line, 0, line.length);
        System.out.flush();
    }

    static void sayVersions(String client, String runtime) {
        say(JSON.createObjectNode().put("client", client).put("runtime", runtime));
    }

    static void sayAssigned(Collection<Integer> partitions) {
        ObjectNode fact = JSON.createObjectNode();
        ArrayNode assigned = fact.putArray("assigned");
        partitions.stream().sorted().forEach(assigned::add);
        say(fact);
    }

    static void sayRecord(ConsumerRecord<String, String> record) {
        ObjectNode fact = JSON.createObjectNode();
        ObjectNode told = fact.putObject("record");
        told.put("partition", record.partition()).put("offset", record.offset());
        told.put("key", record.key()).put("value", record.value()).put("timestamp_ms", record.timestamp());
        ArrayNode headers = told.putArray("headers");
        for (Header header : record.headers()) {
            headers.addArray().add(header.key()).add(new String(header.value(), StandardCharsets.UTF_8));
        }
        say(fact);
    }

    /** One call of the administration. */
    interface Action {
        void run() throws Exception;
    }

    /** Tell how a call went; the next ones are tried in any case. */
    static void call(String name, Action action) {
        ObjectNode fact = JSON.createObjectNode().put("call", name);
        try {
            action.run();
        } catch (Exception error) {
            fact.put("failed", error.toString());
        }
        say(fact);
    }

    static void expect(boolean isSo, Object found) {
        if (!isSo) {
            throw new IllegalStateException("unexpected answer: " + found);
        }
    }

    /** Expect an action to fail with one of these errors, or because of it. */
    static void refused(List<? extends Class<? extends Throwable>> kinds, Action action) throws Exception {
        try {
            action.run();
        } catch (Exception error) {
            if (kinds.stream().anyMatch(kind -> kind.isInstance(error) || kind.isInstance(error.getCause()))) {
                return;
            }
            throw error;
        }
        throw new IllegalStateException("not refused as expected: " + kinds);
    }
}
