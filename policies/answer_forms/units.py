"""Units of measure by their names, so that `5 kilometers` is `5 km`."""

from __future__ import annotations

UNITS = {
    "%-points": "pp", "percentage points": "pp", "percentage point": "pp", "percent points": "pp", "% points": "pp",
    "degrees": "°", "degree": "°", "deg": "°", "degrees celsius": "°c", "celsius": "°c", "degrees c": "°c",
    "degree celsius": "°c", "degrees fahrenheit": "°f", "fahrenheit": "°f",
    "degrees f": "°f", "degree fahrenheit": "°f",
    "kilometers": "km", "kilometres": "km", "kilometer": "km", "kilometre": "km", "kms": "km",
    "meters": "m", "metres": "m", "meter": "m", "metre": "m",
    "centimeters": "cm", "centimetres": "cm", "centimeter": "cm", "centimetre": "cm",
    "millimeters": "mm", "millimetres": "mm", "millimeter": "mm", "millimetre": "mm",
    "miles": "mi", "mile": "mi", "feet": "ft", "foot": "ft", "inches": "in", "inch": "in", "yards": "yd", "yard": "yd",
    "kilograms": "kg", "kilogram": "kg", "kilos": "kg", "kilo": "kg", "kgs": "kg", "grams": "g", "gram": "g",
    "milligrams": "mg", "milligram": "mg", "tonnes": "t", "tonne": "t",
    "pounds": "lb", "pound": "lb", "lbs": "lb", "ounces": "oz", "ounce": "oz",
    "liters": "l", "litres": "l", "liter": "l", "litre": "l", "milliliters": "ml", "millilitres": "ml",
    "hours": "h", "hour": "h", "hrs": "h", "hr": "h", "minutes": "min", "minute": "min", "mins": "min",
    "seconds": "s", "second": "s", "secs": "s", "sec": "s", "milliseconds": "ms", "millisecond": "ms",
    "days": "day", "weeks": "week", "months": "month", "years": "year", "yrs": "year", "yr": "year",
    "kph": "km/h", "kmph": "km/h", "kilometers per hour": "km/h", "kilometres per hour": "km/h",
    "miles per hour": "mph", "mi/h": "mph", "meters per second": "m/s", "metres per second": "m/s",
    "m2": "m^2", "sq m": "m^2", "square meters": "m^2", "square metres": "m^2", "sqm": "m^2",
    "km2": "km^2", "sq km": "km^2", "square kilometers": "km^2", "square kilometres": "km^2",
    "m3": "m^3", "cubic meters": "m^3", "cubic metres": "m^3",
    "kilowatt hours": "kwh", "kilowatts": "kw", "megawatts": "mw", "watts": "w", "watt": "w",
    "cents": "¢", "cent": "¢",
}  # fmt: skip
"""Names of one unit. A unit that is not here is compared as text."""
