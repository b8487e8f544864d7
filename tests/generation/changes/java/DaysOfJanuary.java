import java.time.LocalDate;
import java.time.format.DateTimeFormatter;

class DaysOfJanuary {
    static void run() {
        System.out.println(LocalDate.of(2024, 1, 15).format(DateTimeFormatter.ofPattern("yyyy-MM-DD")));
        System.out.println(LocalDate.of(2024, 1, 15).format(DateTimeFormatter.ofPattern("DD/MM/yyyy")));
    }
}
