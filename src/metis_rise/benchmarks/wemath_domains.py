"""Which domain each knowledge concept of WeMath belongs to."""

from __future__ import annotations

from collections.abc import Mapping

# The names that the data's column "knowledge concept" uses, by the domains of the authors' accuracy table.
_CONCEPTS = {
    "Understanding and Conversion of Units": (
        "Conversion Rates and Calculations Between Area Units",
        "Conversion Rates and Calculations Between Length Units",
        "Conversion Rates and Calculations Between Volume Units (Including Liters and Milliliters)",
    ),
    "Angles and Length": (
        "Understanding Angles (Using a Protractor)",
        "Understanding Length (Using a Ruler)",
    ),
    "Calculation of Plane Figures": (
        "Area of Circles",
        "Area of Parallelograms",
        "Area of Rectangles",
        "Area of Sectors",
        "Area of Squares",
        "Area of Trapezoids",
        "Area of Triangles",
        "Calculation and Comparison of Angles",
        "Circumference of Circles",
        "Perimeter of Parallelograms",
        "Perimeter of Rectangles",
        "Perimeter of Squares",
        "Perimeter of Trapezoids",
        "Perimeter of Triangles",
        "Sum of Interior Angles of Other Polygons",
        "Sum of Interior Angles of Triangles",
    ),
    "Understanding of Plane Figures": (
        "Distance Between Two Points",
        "Observing Figures",
        "Parallel",
        "perpendicularity",
        "Properties and Understanding of Parallelograms",
        "Properties and Understanding of Rectangles",
        "Properties and Understanding of Squares",
        "Properties and Understanding of Trapezoids",
        "Properties and Understanding of Triangles",
        "Understanding and Representing Angles",
        "Understanding Circles",
        "Understanding Line Segments, Lines, and Rays",
        "Understanding Sectors",
        "Understanding Triangular Rulers",
    ),
    "Calculation of Solid Figures": (
        "Surface Area of Cubes",
        "Surface Area of Cylinders",
        "Surface Area of Rectangular Cuboids",
        "Volume and Capacity of Cones",
        "Volume and Capacity of Cubes",
        "Volume and Capacity of Cylinders",
        "Volume and Capacity of Rectangular Cuboids",
    ),
    "Understanding of Solid Figures": (
        "Expanded View of Cubes",
        "Expanded View of Cylinders",
        "Expanded View of Rectangular Cuboids",
        "Observing Objects",
        "Properties and Understanding of Cubes",
        "Properties and Understanding of Rectangular Cuboids",
        "Properties of Cones",
        "Properties of Cylinders",
    ),
    "Basic Transformations of Figures": ("Axial Symmetry", "Rotation", "Translation"),
    "Cutting and Combining of Figures": (
        "Combining and Dividing Solids",
        "Combining Plane Figures",
        "Division of Plane Figures",
        "Folding Problems of Figures",
        "Tessellation of Figures",
    ),
    "Direction": (
        "Cardinal Directions (East, South, West, North)",
        "Southeast, Southwest, Northeast, Northwest Directions",
    ),
    "Position": ("Front-Back Position", "Left-Right Position", "Up-Down Position"),
    "Route Map": (
        "Describing Simple Routes Based on Direction and Distance",
        "Determining the Positions of Objects Based on Direction, Angle, and Distance",
    ),
    "Correspondence of Coordinates and Positions": (
        "Finding Positions Based on Ordered Pairs",
        "Representing Positions Using Ordered Pairs",
    ),
}

DOMAINS: Mapping[str, str] = {concept: domain for domain, concepts in _CONCEPTS.items() for concept in concepts}
"""Domain by knowledge concept, 67 concepts in 12 domains (VLMEvalKit utils/wemath `knowledge_structure_nodes`)."""
