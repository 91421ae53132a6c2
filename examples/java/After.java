import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.regex.Pattern;

/** Prints every review. The broker handles OAuth. Use your JSON library instead of the patterns. */
public class After {
    static final String API = System.getenv().getOrDefault("ETRUSTED_API_URL", "http://localhost:8080");
    // In a review, the first field named id is its own. A quote in a text is escaped, so no text looks like a field.
    static final Pattern REVIEW = Pattern.compile("\"id\": *\"(rev-[^\"]+)\"|\"rating\": *(\\d)");
    static final Pattern NEXT = Pattern.compile("\"next\":\"(.*?)\"");
    static final HttpClient CLIENT = HttpClient.newHttpClient();

    public static void main(String[] args) throws Exception {
        String next = API + "/reviews?count=100";
        while (next != null) {
            String page = send(HttpRequest.newBuilder(URI.create(next)));
            String id = "";
            for (var fields = REVIEW.matcher(page); fields.find();) {
                if (fields.group(1) != null) {
                    id = fields.group(1);
                } else {
                    System.out.println(id + " " + fields.group(2));
                }
            }
            next = NEXT.matcher(page).results().map(r -> r.group(1)).findFirst().orElse(null);
        }
    }

    static String send(HttpRequest.Builder request) throws Exception {
        var response = CLIENT.send(request.build(), BodyHandlers.ofString());
        if (response.statusCode() != 200) {
            throw new IOException(response + " " + response.body());
        }
        return response.body();
    }
}
