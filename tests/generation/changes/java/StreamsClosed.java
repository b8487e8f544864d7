import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;

class StreamsClosed {
    static long count(Path folder) throws IOException {
        return Files.list(folder)
                // Folders are not counted.
                .filter(Files::isRegularFile)
                .count();
    }

    static void remove(Path folder) throws IOException {
        if (Files.exists(folder))
            Files.walk(folder).sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
    }

    static List<String> read(Path file) throws IOException {
        switch (file.getNameCount()) {
            case 0:
                return List.of();
            default:
                return Files.lines(file).map(line -> line.trim()).sorted().toList();
        }
    }

    static void run() {
        try {
            Path folder = Files.createTempDirectory("streams");
            Files.writeString(folder.resolve("a"), "b\n a\n");
            System.out.println(count(folder) + " " + read(folder.resolve("a")));
            remove(folder);
            System.out.println(Files.exists(folder));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
