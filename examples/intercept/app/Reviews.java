import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.regex.Pattern;

/** An app that knows nothing of the broker: its URLs are constants. It prints every review. */
public class Reviews {
    static final URI TOKEN_URL = URI.create("https://login.etrusted.com/oauth/token");
    // In a review, the first field named id is its own. A quote in a text is escaped, so no text looks like a field.
    static final Pattern REVIEW = Pattern.compile("\"id\": *\"(rev-[^\"]+)\"|\"rating\": *(\\d)");
    static final Pattern NEXT = Pattern.compile("\"next\":\"(.*?)\"");
    static final Pattern TOKEN = Pattern.compile("\"access_token\":\"(.*?)\"");
    static final HttpClient CLIENT = HttpClient.newHttpClient();

    public static void main(String[] args) throws Exception {
        String token = fetchToken();
        String next = "https://api.etrusted.com/reviews?count=100";
        while (next != null) {
            String page = send(HttpRequest.newBuilder(URI.create(next)).header("Authorization", "Bearer " + token));
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

    static String fetchToken() throws Exception {
        String form = "grant_type=client_credentials&audience=https%3A%2F%2Fapi.etrusted.com"
            + "&client_id=" + URLEncoder.encode(System.getenv("ETRUSTED_CLIENT_ID"), StandardCharsets.UTF_8)
            + "&client_secret=" + URLEncoder.encode(System.getenv("ETRUSTED_CLIENT_SECRET"), StandardCharsets.UTF_8);
        String answer = send(HttpRequest.newBuilder(TOKEN_URL)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .POST(BodyPublishers.ofString(form)));
        return TOKEN.matcher(answer).results().map(r -> r.group(1)).findFirst().orElseThrow();
    }

    static String send(HttpRequest.Builder request) throws Exception {
        var response = CLIENT.send(request.build(), BodyHandlers.ofString());
        if (response.statusCode() != 200) {
            throw new IOException(response + " " + response.body());
        }
        return response.body();
    }
}
