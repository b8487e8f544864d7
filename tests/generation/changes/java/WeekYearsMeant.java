import java.time.LocalDate;
import java.time.format.DateTimeFormatter;

class WeekYearsMeant {
    static void run() {
        LocalDate day = LocalDate.of(2024, 12, 30);
        System.out.println(day.format(DateTimeFormatter.ofPattern("YYYY-'W'ww")));
        System.out.println(day.format(DateTimeFormatter.ofPattern("'YM'yyyy")));
        System.out.println(day.format(DateTimeFormatter.ofPattern("yyyy-DDD")));
    }
}
